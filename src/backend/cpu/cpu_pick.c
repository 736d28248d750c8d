/*
 * Which variant of the inner loops runs: the best that both the processor (hora_cpu_isa, so
 * HORA_ISA caps it) and the compiler that built us know.
 */
#include "backend/cpu/kern.h"
#include "base/cpu.h"

#define VARIANT(v)                                                                                 \
    extern const hora_kern_gemm hora_kern_gemm_f32_##v, hora_kern_gemm_bf16_##v;                   \
    extern const hora_kern_rows hora_kern_rows_##v, hora_kern_rows_bf16_##v;                       \
    extern const hora_kern_softmax hora_kern_softmax_##v;                                          \
    extern const hora_kern_blocks hora_kern_blocks_##v;                                            \
    extern const hora_kern_attention hora_kern_attention_f32_##v, hora_kern_attention_bf16_##v;    \
    extern const hora_kern_peak hora_kern_peak_##v;                                                \
    TABLE(v, v, &hora_kern_gemm_bf16_##v)
/* `name` is v but for its products of bf16. */
#define TABLE(name, v, products)                                                                   \
    static const hora_kern kern_##name = {                                                         \
        #name,                                                                                     \
        {&hora_kern_gemm_f32_##v, products},                                                       \
        &hora_kern_rows_##v,                                                                       \
        &hora_kern_rows_bf16_##v,                                                                  \
        &hora_kern_softmax_##v,                                                                    \
        &hora_kern_blocks_##v,                                                                     \
        {&hora_kern_attention_f32_##v, &hora_kern_attention_bf16_##v},                             \
        &hora_kern_peak_##v};
VARIANT(portable)
#ifdef HORA_HAVE_avx2
VARIANT(avx2)
#endif
#ifdef HORA_HAVE_avx512
VARIANT(avx512)
#endif
#ifdef HORA_HAVE_avx512_bf16
VARIANT(avx512_bf16)
#endif
#ifdef HORA_HAVE_amx
extern const hora_kern_gemm hora_kern_gemm_tiles_avx512_bf16;
TABLE(amx, avx512_bf16, &hora_kern_gemm_tiles_avx512_bf16)
#endif

const hora_kern *hora_kern_get(void) {
    hora_isa isa = hora_cpu_isa();
#ifdef HORA_HAVE_amx
    if (isa >= HORA_ISA_AMX)
        return &kern_amx;
#endif
#ifdef HORA_HAVE_avx512_bf16
    if (isa >= HORA_ISA_AVX512_BF16)
        return &kern_avx512_bf16;
#endif
#ifdef HORA_HAVE_avx512
    if (isa >= HORA_ISA_AVX512)
        return &kern_avx512;
#endif
#ifdef HORA_HAVE_avx2
    if (isa >= HORA_ISA_AVX2)
        return &kern_avx2;
#endif
    (void)isa;
    return &kern_portable;
}
