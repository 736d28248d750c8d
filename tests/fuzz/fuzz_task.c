/* task.json of an adapter's folder, and what config.json says of a task. */
#include "fuzz.h"
#include "task/task.h"

HORA_FUZZ(task) {
    hora_json *config = NULL;
    hora_objective o;
    (void)hora_json_parse(&config, data, n, "fuzz");
    hora_status s = hora_objective_choose(&o, NULL, config);
    if (!s) {
        hora_fuzz_file("task.json", data, n);
        s = hora_objective_adapter(&o, NULL, hora_fuzz_dir());
        must(o.classes >= 0 && (!o.classes || o.names));
    }
    must(s == HORA_OK || *hora_errmsg());
    hora_objective_release(&o);
    hora_json_free(config);
    return s == HORA_OK;
}
