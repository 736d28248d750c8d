/*
 * No guard: included by ref_x.c, compiles REF_TEXT once per dtype. bf16 has no text: see
 * mixed.c.
 */
#define REAL    float
#define WIDE    float
#define LD(x)   ((double)(x))
#define ST(v)   ((float)(v))
#define T(name) name##_f32
#include "backend/ref/ref_dot.h"
#include REF_TEXT
#undef REAL
#undef WIDE
#undef LD
#undef ST
#undef T

#define REAL    double
#define WIDE    double
#define LD(x)   (x)
#define ST(v)   (v)
#define T(name) name##_f64
#include "backend/ref/ref_dot.h"
#include REF_TEXT
#undef REAL
#undef WIDE
#undef LD
#undef ST
#undef T
