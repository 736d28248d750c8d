/* Reference kernel of op_rope_reach.c: that of rope, which picks the set of frequencies. */
#include "backend/ref/ref_impl.h"

#include <math.h>

#define REF_TEXT "backend/ref/ref_rope.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(rope_reach, NULL);
