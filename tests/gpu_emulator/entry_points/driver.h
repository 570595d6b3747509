// What the driver API's entry points share: contexts, and the way onto a stream.
//
// Each device has one context, its primary one, which lives from its first retain to its last
// release: its modules go with it, its memory and streams stay. A thread has a stack of current
// contexts. The entry points check their arguments, write a record to the log and
// put the work on a stream; only what the stream does may die.
#pragma once

#include <cuda.h>

#include <memory>

#include "machine/stream.h"

namespace gpu_emulator {

constexpr int kNoDevice = -1;

// The device of the thread's current context, or kNoDevice.
int CurrentDevice();

// What becomes of a context's modules when it ends.
void UnloadModules(int device);

// The stream of a handle; null when it is unknown, or is 0 and no context is current.
std::shared_ptr<Stream> UseStream(CUstream handle);

}  // namespace gpu_emulator
