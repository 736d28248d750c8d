#ifndef HORA_BASE_CPU_H
#define HORA_BASE_CPU_H
/* What this processor can do, read once. HORA_ISA=portable|avx2|avx512|avx512_bf16|amx caps it (for
 * tests). */
#include <stdbool.h>
#include <stddef.h>

typedef enum {
    HORA_ISA_PORTABLE,
    HORA_ISA_AVX2,
    HORA_ISA_AVX512,
    HORA_ISA_AVX512_BF16,
    HORA_ISA_AMX
} hora_isa;
hora_isa hora_cpu_isa(void); /* best, after the cap */
const char *hora_isa_name(hora_isa isa);
const char *hora_cpu_model(void);    /* "AMD EPYC 9R14", never NULL                       */
const char *hora_cpu_features(void); /* "avx2 fma avx512f avx512bw avx512_bf16 amx_tile"  */
int hora_cpu_count(void);            /* cores this process may use                        */
#endif
