// What the emulator says: the log, one JSON object a line, and the report before an abort.
//
// The records' calls: launch, memcpy, memset, allocate, free, synchronize, event_record,
// event_wait, host_function, module_load, module_unload. Queries are not logged: TensorFlow polls.
//
// A record is written, under one lock and flushed, by the call that it describes, on the caller's
// thread, before the call returns: a test that reads the log after a call finds the call in it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

namespace gpu_emulator {

// Writes the message to stderr and aborts. Whatever the emulator cannot do exactly ends here: a
// program that ignores an error code would go on with wrong values.
[[noreturn]] void Die(const std::string& message);

std::string Hex(uint64_t value);

// Record("memset").Add("bytes", 4) writes {"call": "memset", "bytes": 4} when it is destroyed.
class Record {
 public:
  explicit Record(const char* call);
  ~Record();
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;

  Record& Add(const char* key, uint64_t value);
  Record& Add(const char* key, const std::string& value);
  Record& Add(const char* key, std::initializer_list<uint32_t> values);

 private:
  std::string line_;
};

}  // namespace gpu_emulator
