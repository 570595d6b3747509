// Test-only libcudnn.so.9: TensorFlow creates no GPU device without its version.

extern "C" {

// 0 major, 1 minor, 2 patch level.
int cudnnGetProperty(int property, int* value) {
  constexpr int kVersion[] = {9, 3, 0};
  *value = kVersion[property];
  return 0;  // CUDNN_STATUS_SUCCESS
}

unsigned long cudnnGetVersion() { return 90300; }  // NOLINT: the ABI's type
}
