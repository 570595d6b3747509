// Test-only libnvidia-ml.so.1: TensorFlow initializes it to ask for a device's link bandwidths, and
// goes on without them.

extern "C" {

int nvmlInit_v2() { return 0; }                                          // NVML_SUCCESS
int nvmlShutdown() { return 0; }                                         // NVML_SUCCESS
int nvmlDeviceGetHandleByPciBusId_v2(const char*, void**) { return 3; }  // NVML_ERROR_NOT_SUPPORTED
const char* nvmlErrorString(int) { return "not supported by the emulated GPU"; }
}
