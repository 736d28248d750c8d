#ifndef HORA_FORMAT_NPZ_H
#define HORA_FORMAT_NPZ_H
/*
 * NumPy's .npz, reading: a zip archive (PKWARE APPNOTE 6.3: stored or deflated members, zip64) of
 * .npy files (NumPy Enhancement Proposal 1, versions 1 to 3):
 *
 *     "\x93NUMPY" | u8 major | u8 minor | u16 or u32 length of header | header | data
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }      blanks, then a line feed
 *
 * Members are taken from the archive's directory, which must agree with what stands before each;
 * lengths are checked against the file, the data's against the shape, sums against the bytes when
 * they are read. What is no little-endian float or integer is refused by name where it is read.
 */
#include "base/file.h"
#include "tensor/tensor.h"

typedef struct hora_npz hora_npz;

typedef struct hora_npz_array {
    char *name; /* without ".npy" */
    hora_shape shape;
    hora_dtype dtype; /* HORA_DTYPE_OTHER: hora has no name for it */
    char descr[24];   /* as written: "<f4" */
    bool columns;     /* the first index varies fastest */
    bool packed;      /* deflated */
    size_t at, bytes; /* in the file */
    uint64_t size;    /* unpacked, header included */
    uint64_t data_at; /* offset of the data, unpacked */
    uint32_t sum;     /* CRC-32 of all of it */
} hora_npz_array;

bool hora_npz_is(const char *path); /* a file that begins like a zip archive */
/* HORA_EFORMAT with file, member and reason for anything that breaks the rules above;
 * HORA_EUNSUPPORTED for encrypted members, other ways of packing, and a build without zlib. */
hora_status hora_npz_open(hora_npz **out, const char *path);
void hora_npz_close(hora_npz *z); /* accepts NULL */
int hora_npz_count(const hora_npz *z);
const hora_npz_array *hora_npz_at(const hora_npz *z, int i);              /* as in the archive */
const hora_npz_array *hora_npz_find(const hora_npz *z, const char *name); /* NULL when absent */
/* Elements as f32, in the order of the file; room for all of them. */
hora_status hora_npz_read(const hora_npz *z, const hora_npz_array *a, float *out);
#endif
