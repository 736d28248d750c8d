/* The mark of an output folder, `.hora`: what cannot be read is no mark; what is, names entries of
 * this folder alone and comes back as it was written. */
#include <fcntl.h>
#include <unistd.h>

#include "base/outdir_impl.h"
#include "fuzz.h"

HORA_FUZZ(mark) {
    hora_mark m, again;
    hora_fuzz_file(HORA_MARK, data, n);
    const int dir = open(hora_fuzz_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(dir >= 0);
    hora_mark_load(&m, dir);
    for (int i = 0; i < m.names.n; i++) {
        const char *slash = strchr(m.names.at[i], '/');
        must(*m.names.at[i] && (!slash || (slash > m.names.at[i] && !slash[1])));
        must(!hora_starts(m.names.at[i], "../") && !hora_eq(m.names.at[i], ".."));
    }
    if (m.there) {
        must(hora_mark_save(&m, hora_fuzz_dir()) == HORA_OK);
        hora_mark_load(&again, dir);
        must(again.there && again.id == m.id && again.names.n == m.names.n);
        hora_mark_release(&again);
    }
    const bool taken = m.there;
    hora_mark_release(&m);
    close(dir);
    return taken;
}
