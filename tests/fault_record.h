#ifndef HORA_TEST_FAULT_RECORD_H
#define HORA_TEST_FAULT_RECORD_H
/* What shim_record.c writes and test_power.c reads: a record, then the bytes of its names, then its
 * data (of RECORD_WRITE alone). Folders and files are known by inode, so that a rename changes
 * nothing of what a write before it meant. */
#include <stdint.h>

enum {
    RECORD_CREATE, /* folder, name, inode */
    RECORD_MKDIR,  /* folder, name, inode */
    RECORD_RENAME, /* folder, name -> folder2, name; inode */
    RECORD_REMOVE, /* folder, name */
    RECORD_WRITE,  /* inode, at, n, data */
    RECORD_CUT,    /* inode, at: its new length */
    RECORD_SYNC    /* inode: a file, or a folder's names */
};
typedef struct record {
    uint32_t op, names[2]; /* bytes of the names */
    uint32_t unused;
    uint64_t inode, folder, folder2, at, n;
    uint64_t said; /* bytes of messages on stderr so far */
} record;
#endif
