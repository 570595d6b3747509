// How the headers shared by host and device code are spelled for each compiler.
//
// Functions marked TF_MAVG_INLINE are always inlined: they are compiled once for each instruction
// level, and an out-of-line copy made for AVX-512 must never serve a caller built for plain x86-64.

#ifndef TF_MAVG_CC_CORE_PORTABILITY_H_
#define TF_MAVG_CC_CORE_PORTABILITY_H_

#if defined(__CUDACC__)
#define TF_MAVG_INLINE __host__ __device__ __forceinline__
#else
#define TF_MAVG_INLINE [[gnu::always_inline]] inline
#endif

#endif  // TF_MAVG_CC_CORE_PORTABILITY_H_
