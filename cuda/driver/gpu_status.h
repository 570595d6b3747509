// What a call of the launch layer came to. It knows no absl, so that it serves without TensorFlow.

#ifndef TF_MAVG_CUDA_DRIVER_GPU_STATUS_H_
#define TF_MAVG_CUDA_DRIVER_GPU_STATUS_H_

#include <string>
#include <utility>

namespace tf_mavg {

class [[nodiscard]] GpuStatus {
 public:
  enum class Code {
    kOk,
    kUnavailable,  // No driver on this machine.
    kUnsupported,  // A driver or a device that the library's images do not serve.
    kFailed,       // The driver refused a call.
  };

  GpuStatus() = default;
  // `message` says what failed, in the driver's words where it has any, and what to do.
  GpuStatus(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

}  // namespace tf_mavg

#endif  // TF_MAVG_CUDA_DRIVER_GPU_STATUS_H_
