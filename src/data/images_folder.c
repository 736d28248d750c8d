/*
 * A folder for each class, with pictures at any depth. Classes are the folders' names in the order
 * of their bytes; empty ones keep their place. Links are followed, a loop is an error. A folder of
 * pictures without folders is a set without labels.
 */
#include <sys/stat.h>

#include "data/images_impl.h"

#define MAX_DEPTH 64

/* The folders from the class down to here. */
typedef struct trail {
    const struct trail *up;
    dev_t device;
    ino_t inode;
    int depth;
} trail;

static bool is_folder(const char *path) {
    return hora_path_is_dir(path);
}

static hora_status enter(const char *path, const trail *up, trail *here) {
    struct stat st;
    if (stat(path, &st) != 0)
        return hora_fail(HORA_EIO, "%s: cannot be looked at; check its permissions", path);
    *here = (trail){up, st.st_dev, st.st_ino, up ? up->depth + 1 : 0};
    for (const trail *t = up; t; t = t->up)
        if (t->device == st.st_dev && t->inode == st.st_ino)
            return hora_fail(HORA_EFORMAT,
                             "%s: the link leads back to a folder that it lies in; remove it",
                             path);
    if (here->depth > MAX_DEPTH)
        return hora_fail(HORA_EFORMAT,
                         "%s: folders within folders, more than %d deep; make them fewer", path,
                         MAX_DEPTH);
    return HORA_OK;
}

/* The files of a folder, then its folders. label NULL: the pictures are none's. */
static hora_status walk(hora_images *s, const char *path, const char *label, const trail *up) {
    trail here;
    char **names;
    int n;
    HORA_TRY(enter(path, up, &here));
    HORA_TRY(hora_list_dir(path, &names, &n));
    hora_status st = HORA_OK;
    bool bare = true;
    for (int folders = 0; folders < 2; folders++)
        for (int i = 0; i < n && st == HORA_OK; i++) {
            char *child = hora_path_join(path, names[i]);
            bool folder;
            if ((st = hora_path_is_folder(child, &folder)) != HORA_OK)
                ;
            else if (folder && folders && hora_images_hidden(names[i]))
                s->info.hidden++;
            else if (folder && folders) {
                st = walk(s, child, label, &here);
                bare = false;
            } else if (!folder && !folders && hora_images_take(s, names[i])) {
                hora_images_add(s, child, label, -1, 0, 0);
                bare = false;
            }
            hora_free(child);
        }
    hora_list_free(names, n);
    s->info.bare += bare && here.depth > 1; /* an empty class keeps its place and is told as such */
    return st;
}

/* "train" and "test" side by side are no classes. */
static bool is_split(const char *name) {
    static const char *const splits[] = {"train",      "training", "val",  "valid",
                                         "validation", "dev",      "test", "testing"};
    for (size_t i = 0; i < HORA_COUNT(splits); i++)
        if (!strcmp(name, splits[i]))
            return true;
    return false;
}

static hora_status list_folder(hora_images *s) {
    trail here;
    char **names;
    int n, folders = 0, splits = 0;
    s->names_only = true;
    HORA_TRY(enter(s->path, NULL, &here));
    HORA_TRY(hora_list_dir(s->path, &names, &n));
    hora_status st = HORA_OK;
    for (int i = 0; i < n && st == HORA_OK; i++) {
        char *child = hora_path_join(s->path, names[i]);
        bool folder;
        st = hora_path_is_folder(child, &folder);
        folder &= !hora_images_hidden(names[i]);
        folders += folder;
        splits += folder && is_split(names[i]);
        hora_free(child);
    }
    if (st == HORA_OK && folders && splits == folders)
        st = hora_fail(HORA_EUSAGE,
                       "%s: its folders are parts (train, test, ..), not classes; give one of them",
                       s->path);
    else if (st == HORA_OK && !folders)
        st = walk(s, s->path, NULL, NULL);
    for (int i = 0; i < n && folders && st == HORA_OK; i++) {
        char *child = hora_path_join(s->path, names[i]);
        bool folder;
        if ((st = hora_path_is_folder(child, &folder)) != HORA_OK)
            ;
        else if (folder && hora_images_hidden(names[i]))
            s->info.hidden++;
        else if (folder) {
            hora_images_declare(s, names[i]);
            st = walk(s, child, names[i], &here);
        } else if (hora_images_take(s, names[i]))
            s->info.beside++;
        hora_free(child);
    }
    hora_list_free(names, n);
    return st;
}

const hora_images_kind hora_images_kind_folder = {
    .name = "folder", .is = is_folder, .list = list_folder};
