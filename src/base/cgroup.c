/*
 * Finds the control groups this process lies in. Owns no state. /proc/self/cgroup has a line
 * "id:controllers:path"; id 0 is version 2. Inside a container the path may not be visible, then
 * only its upper part exists and the walk simply meets fewer folders.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/cgroup_impl.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

#define PATH_LIMIT 4096

static void walk_up(const char *root, const char *path, bool v2,
                    void (*fn)(void *, const char *, bool), void *user) {
    char dir[PATH_LIMIT];
    int n = hora_snprintf(dir, sizeof dir, "%s%s", root, path);
    if (n < 0 || (size_t)n >= sizeof dir)
        return;
    size_t stop = strlen(root);
    for (;;) {
        if (!access(dir, F_OK))
            fn(user, dir, v2);
        char *slash = strrchr(dir, '/');
        if (!slash || (size_t)(slash - dir) < stop)
            return;
        *slash = 0;
    }
}

static bool names(const char *list, const char *controller) {
    size_t n = strlen(controller);
    for (const char *p = list; (p = strstr(p, controller)); p += n)
        if ((p == list || p[-1] == ',') && (p[n] == 0 || p[n] == ','))
            return true;
    return false;
}

void hora_cgroup_walk(const char *controller, void (*fn)(void *user, const char *dir, bool v2),
                      void *user) {
    char line[PATH_LIMIT], root[64];
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f)
        return;
    while (fgets(line, sizeof line, f)) {
        char *list = strchr(line, ':');
        char *path = list ? strchr(list + 1, ':') : NULL;
        if (!path)
            continue;
        *list++ = 0;
        *path++ = 0;
        path[strcspn(path, "\n")] = 0;
        if (!strcmp(path, "/"))
            *path = 0;
        if (!strcmp(line, "0") && !*list) {
            walk_up("/sys/fs/cgroup", path, true, fn, user);
        } else if (names(list, controller)) {
            hora_snprintf(root, sizeof root, "/sys/fs/cgroup/%s", controller);
            walk_up(root, path, false, fn, user);
        }
    }
    fclose(f);
}

bool hora_cgroup_number(const char *dir, const char *name, int64_t *out) {
    char path[PATH_LIMIT];
    long long v;
    hora_snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    bool ok = fscanf(f, "%lld", &v) == 1;
    fclose(f);
    if (ok)
        *out = v;
    return ok;
}

bool hora_cgroup_field(const char *dir, const char *name, const char *key, int64_t *out) {
    char path[PATH_LIMIT], word[128];
    long long v;
    bool found = false;
    hora_snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    while (!found && fscanf(f, "%127s %lld", word, &v) == 2)
        found = !strcmp(word, key);
    fclose(f);
    if (found)
        *out = v;
    return found;
}
