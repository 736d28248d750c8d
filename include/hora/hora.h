#ifndef HORA_HORA_H
#define HORA_HORA_H
/* hora: native parameter-efficient fine-tuning. The front door and the only installed header. */
#ifdef __cplusplus
extern "C" {
#endif

/* What every function that can fail returns. Failures are negative; the text is in hora_errmsg().
 */
typedef enum hora_status {
    HORA_OK = 0,
    HORA_DONE = 1,          /* nothing left to do: the last step has been taken           */
    HORA_EUSAGE = -1,       /* an option, argument or call that makes no sense            */
    HORA_EIO = -2,          /* the operating system refused: file, disk, permission       */
    HORA_EFORMAT = -3,      /* a file does not say what its format promises               */
    HORA_EUNSUPPORTED = -4, /* understood, but hora does not compute it                   */
    HORA_ESHAPE = -5,       /* tensors that do not fit each other                         */
    HORA_ENOMEM = -6,       /* does not fit into memory                                   */
    HORA_ENOTFOUND = -7,    /* a file, tensor, key, method or target that is not there    */
    HORA_EEXISTS = -8,      /* would overwrite what is there                              */
    HORA_EMISMATCH = -9,    /* two things that must belong together do not                */
    HORA_ENUMERIC = -10,    /* a loss or gradient is not finite, or explodes              */
    HORA_EINTERRUPTED = -11 /* stopped by request, state saved                            */
} hora_status;

/* Text of the last failure on this thread; "" when there was none. Never NULL. */
const char *hora_errmsg(void);

#ifdef __cplusplus
}
#endif
#endif
