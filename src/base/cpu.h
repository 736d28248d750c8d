#ifndef HORA_BASE_CPU_H
#define HORA_BASE_CPU_H
/*
 * What this processor can do, read once. HORA_ISA=portable|avx2|avx512|avx512_bf16|amx caps it (for
 * tests). A level includes those before it:
 *   avx2         avx2 fma f16c                        (gcc: -mavx2 -mfma -mf16c)
 *   avx512       avx512f avx512bw avx512dq avx512vl   (-mavx512f -mavx512bw -mavx512dq -mavx512vl)
 *   avx512_bf16  avx512_bf16
 *   amx          amx_tile amx_bf16
 * and the operating system saves the registers it needs (for amx, it is asked to).
 */
#include <stdbool.h>
#include <stddef.h>

typedef enum {
    HORA_ISA_PORTABLE,
    HORA_ISA_AVX2,
    HORA_ISA_AVX512,
    HORA_ISA_AVX512_BF16,
    HORA_ISA_AMX
} hora_isa;
hora_isa hora_cpu_isa(void);             /* best, after the cap */
const char *hora_isa_name(hora_isa isa); /* as in HORA_ISA */
const char *hora_cpu_model(void);        /* "AMD EPYC 9R14", never NULL                       */
const char *hora_cpu_features(void);     /* "avx2 fma avx512f avx512bw avx512_bf16 amx_tile"  */
int hora_cpu_count(void);                /* cores this process may use                        */
#endif
