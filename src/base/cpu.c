/*
 * What the processor offers. Owns one record, filled once. x86-64 is asked with cpuid; a feature
 * counts only if XCR0 says that the system saves its registers (Intel SDM vol. 1, 13.3 and 14).
 * Other architectures are "portable" with a model name from the system. Cores are those of the
 * affinity mask, cut by the CPU quota of the control groups.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/cpu.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#include <sys/syscall.h>
#endif
#if defined(__x86_64__) && defined(__GNUC__)
#define X86 1
#include <cpuid.h>
#endif

#include "base/cgroup_impl.h"
#include "base/log.h"
#include "base/mem.h"

typedef struct record {
    hora_isa isa;
    int count;
    char model[128];
    char features[256];
} record;

static record cpu;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const char *const isa_names[] = {"portable", "avx2", "avx512", "avx512_bf16", "amx"};

const char *hora_isa_name(hora_isa isa) {
    return (size_t)isa < HORA_COUNT(isa_names) ? isa_names[isa] : "unknown";
}

#ifdef X86
enum { EBX7, ECX7, EDX7, EAX71, ECX1, REGISTERS };

typedef struct feature {
    const char *name;
    int reg, bit;
    uint64_t xcr0; /* state the system must save */
    hora_isa level;
} feature;

#define YMM  0x6u
#define ZMM  0xe6u
#define TILE 0x60000u

static const feature feature_rows[] = {
    {"avx2", EBX7, 5, YMM, HORA_ISA_AVX2},
    {"fma", ECX1, 12, YMM, HORA_ISA_AVX2},
    {"f16c", ECX1, 29, YMM, HORA_ISA_AVX2},
    {"avx512f", EBX7, 16, ZMM, HORA_ISA_AVX512},
    {"avx512bw", EBX7, 30, ZMM, HORA_ISA_AVX512},
    {"avx512dq", EBX7, 17, ZMM, HORA_ISA_AVX512},
    {"avx512vl", EBX7, 31, ZMM, HORA_ISA_AVX512},
    {"avx512_bf16", EAX71, 5, ZMM, HORA_ISA_AVX512_BF16},
    {"amx_tile", EDX7, 24, TILE, HORA_ISA_AMX},
    {"amx_bf16", EDX7, 22, TILE, HORA_ISA_AMX},
};

static uint64_t read_xcr0(void) {
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

/* Linux saves the tile registers of a process only when it has asked for them. */
static bool tiles_allowed(void) {
#if defined(__linux__) && defined(SYS_arch_prctl)
    enum { REQUEST = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */
    return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
#else
    return false;
#endif
}

static void read_features(record *r) {
    uint32_t a, b, c, d, reg[REGISTERS] = {0};
    uint64_t xcr0 = 0;
    if (__get_cpuid(1, &a, &b, &c, &d)) {
        reg[ECX1] = c;
        if (c >> 27 & 1) /* OSXSAVE: xgetbv may be used */
            xcr0 = read_xcr0();
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        uint32_t leaves = a;
        reg[EBX7] = b;
        reg[ECX7] = c;
        reg[EDX7] = d;
        if (leaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d))
            reg[EAX71] = a;
    }
    bool whole[HORA_ISA_AMX + 1] = {true, true, true, true, true};
    for (size_t i = 0; i < HORA_COUNT(feature_rows); i++) {
        const feature *f = &feature_rows[i];
        bool has = (reg[f->reg] >> f->bit & 1) && (xcr0 & f->xcr0) == f->xcr0;
        whole[f->level] = whole[f->level] && has;
        if (!has)
            continue;
        size_t used = strlen(r->features);
        snprintf(r->features + used, sizeof r->features - used, used ? " %s" : "%s", f->name);
    }
    if (whole[HORA_ISA_AMX])
        whole[HORA_ISA_AMX] = tiles_allowed();
    r->isa = HORA_ISA_PORTABLE;
    while (r->isa < HORA_ISA_AMX && whole[r->isa + 1])
        r->isa = (hora_isa)(r->isa + 1);
}

static void read_model(record *r) {
    uint32_t words[12] = {0};
    const uint32_t most = (uint32_t)__get_cpuid_max(0x80000000u, NULL);
    if (most < 0x80000004u)
        return;
    for (uint32_t i = 0; i < 3; i++)
        __get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2],
                    &words[4 * i + 3]);
    char raw[sizeof words + 1] = {0};
    memcpy(raw, words, sizeof words);
    size_t n = 0; /* the vendor pads with blanks, in front, between and behind */
    for (const char *p = raw; *p; p++)
        if (*p != ' ' || (n && r->model[n - 1] != ' '))
            r->model[n++] = *p;
    while (n && r->model[n - 1] == ' ')
        n--;
    r->model[n] = 0;
}
#else
static void read_features(record *r) {
    (void)r;
}

static void read_model(record *r) {
    (void)r;
}
#endif

static void quota(void *user, const char *dir, bool v2) {
    int *count = user;
    int64_t q = 0, period = 0;
    if (v2) {
        char path[4096];
        long long a, b;
        snprintf(path, sizeof path, "%s/cpu.max", dir);
        FILE *f = fopen(path, "re");
        if (!f)
            return;
        if (fscanf(f, "%lld %lld", &a, &b) == 2) {
            q = a;
            period = b;
        }
        fclose(f);
    } else if (!hora_cgroup_number(dir, "cpu.cfs_quota_us", &q) ||
               !hora_cgroup_number(dir, "cpu.cfs_period_us", &period)) {
        return;
    }
    if (q > 0 && period > 0 && hora_ceil_div(q, period) < *count)
        *count = (int)hora_ceil_div(q, period);
}

static int read_count(void) {
    int n = 0;
#ifdef __linux__
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set))
        n = CPU_COUNT(&set);
#endif
    if (n < 1)
        n = (int)hora_max(1, sysconf(_SC_NPROCESSORS_ONLN));
    hora_cgroup_walk("cpu", quota, &n);
    return n;
}

static void read_all(void) {
    read_features(&cpu);
    read_model(&cpu);
    struct utsname u;
    if (!cpu.model[0])
        snprintf(cpu.model, sizeof cpu.model, "%.100s", uname(&u) ? "unknown" : u.machine);
    cpu.count = read_count();
    const char *cap = getenv("HORA_ISA");
    if (!cap || !*cap)
        return;
    for (size_t i = 0; i < HORA_COUNT(isa_names); i++)
        if (!strcmp(cap, isa_names[i])) {
            if (cpu.isa > (hora_isa)i)
                cpu.isa = (hora_isa)i;
            return;
        }
    hora_warn("HORA_ISA=%s is not known and has no effect; use portable, avx2, avx512, avx512_bf16 "
              "or amx",
              cap);
}

static const record *get(void) {
    pthread_once(&once, read_all);
    return &cpu;
}

hora_isa hora_cpu_isa(void) {
    return get()->isa;
}

const char *hora_cpu_model(void) {
    return get()->model;
}

const char *hora_cpu_features(void) {
    return get()->features;
}

int hora_cpu_count(void) {
    return get()->count;
}
