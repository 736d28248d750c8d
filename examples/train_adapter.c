/*
 * Trains a HoRA adapter on a text file and saves it where PEFT can load it.
 *
 *     train_adapter MODEL-DIR TEXT-FILE OUT-DIR
 */
#include <hora/hora.h>
#include <stdio.h>

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: %s MODEL-DIR TEXT-FILE OUT-DIR\n", argv[0]);
        return 2;
    }
    hora_model *m = NULL;
    hora_adapter *a = NULL;
    hora_data *d = NULL;
    hora_trainer *t = NULL;
    double first = 0, loss = 0, step = 0;
    hora_status s;
    if ((s = hora_model_open(&m, argv[1], NULL)) ||
        (s = hora_adapter_attach(&a, m, "hora", "rank=4,targets=q+v,seed=1")) ||
        (s = hora_data_open(&d, m, argv[2], "seq_len=32")) ||
        (s = hora_trainer_new(&t, m, d, "steps=20,batch_size=4,lr=5e-3")) ||
        (s = hora_trainer_eval(t, d, &first)))
        goto out;
    while ((s = hora_trainer_step(t)) == HORA_OK) {
        hora_trainer_get(t, "step", &step);
        hora_trainer_get(t, "loss", &loss);
        printf("step %2.0f  loss %.4f\n", step, loss);
    }
    if (s != HORA_DONE || (s = hora_trainer_eval(t, d, &loss)))
        goto out;
    printf("loss on the whole file: %.4f before, %.4f after\n", first, loss);
    s = hora_adapter_save(a, argv[3]);
out:
    if (s)
        fprintf(stderr, "%s\n", hora_errmsg());
    hora_trainer_free(t);
    hora_data_close(d);
    hora_adapter_detach(a);
    hora_model_close(m);
    return s != HORA_OK;
}
