#ifndef HORA_TEMPLATE_IMPL_H
#define HORA_TEMPLATE_IMPL_H
/*
 * Inside of the template engine: source -> tokens (template_lex.c) -> tree (template_parse.c,
 * template_expr.c, template_tag.c) -> text (template_run.c with template_loop.c and
 * template_args.c, values in template_value.c, template_op.c and template_text.c, the built-in
 * filters, tests, methods and functions in template_filter.c, template_test.c, template_list.c,
 * template_case.c, template_format.c, template_string.c, template_call.c). template_cut.c,
 * template_replay.c and template_part.c are what the loss mask asks for.
 *
 * A template is immutable after open. A rendering owns a hora_ts; every value it makes lives in the
 * arena of that state and dies with it. Values are immutable but for namespaces. The language is
 * that of Jinja 3.1 (jinja.palletsprojects.com), its values those of Python.
 */
#include "base/json.h"
#include "base/mem.h"
#include "template/template.h"

/* Bounds: what a template on the hub needs, a hundred times over. */
#define HORA_TPL_SOURCE ((size_t)1 << 20)   /* bytes of a template                     */
#define HORA_TPL_NAMES  1000                /* distinct names in it                    */
#define HORA_TPL_NEST   100                 /* nesting of expressions and tags in it   */
#define HORA_TPL_DEPTH  1000                /* nesting of evaluations and of values    */
#define HORA_TPL_STEPS  (INT64_C(20000000)) /* evaluations of a rendering              */
#define HORA_TPL_OUTPUT ((size_t)64 << 20)  /* bytes of text of a rendering            */
#define HORA_TPL_MEMORY ((size_t)256 << 20) /* bytes of values of a rendering          */

/* ---- memory: freed as a whole ---- */
typedef struct hora_pool {
    struct hora_pool_chunk *head;
    size_t left, total; /* bytes left in the head chunk; bytes handed out */
} hora_pool;
void *hora_pool_get(hora_pool *p, size_t bytes); /* zeroed, aligned for any value */
/* Back to how it was when `to` was copied from it: what was handed out since is gone. */
void hora_pool_rewind(hora_pool *p, const hora_pool *to);
void hora_pool_release(hora_pool *p);

/* ---- tokens ---- */
typedef enum {
    HORA_TK_EOF,
    HORA_TK_TEXT,
    HORA_TK_VAR,       /* {{ */
    HORA_TK_VAR_END,   /* }} */
    HORA_TK_BLOCK,     /* {% */
    HORA_TK_BLOCK_END, /* %} */
    HORA_TK_NAME,
    HORA_TK_STRING,
    HORA_TK_INT,
    HORA_TK_REAL,
    HORA_TK_OP /* i holds the operator: HORA_OP1 or HORA_OP2 */
} hora_tk;
#define HORA_OP2(a, b) ((a) | (b) << 8)

typedef struct hora_token {
    hora_tk type;
    int line, col;
    const char *s; /* TEXT, NAME, STRING (escapes resolved): in the template's pool */
    size_t n;
    int64_t i;
    double r;
} hora_token;

/* ---- tree ---- */
typedef enum {
    /* expressions */
    HORA_TN_CONST, /* value                                              */
    HORA_TN_NAME,
    HORA_TN_LIST, /* list                                                */
    HORA_TN_TUPLE,
    HORA_TN_DICT,  /* list: key, value, key, value ..                     */
    HORA_TN_ATTR,  /* a.s                                                 */
    HORA_TN_ITEM,  /* a[b]                                                */
    HORA_TN_SLICE, /* a[list[0]:list[1]:list[2]], each may be NULL        */
    HORA_TN_CALL,  /* a(list); keyword arguments are HORA_TN_KEYWORD      */
    HORA_TN_KEYWORD,
    HORA_TN_SPREAD, /* an argument *a, or **a when op = 1                  */
    HORA_TN_FILTER, /* a | builtin(list); fn NULL: s, which is not known here */
    HORA_TN_TEST,   /* a is builtin(list); op = 1: is not; fn as above     */
    HORA_TN_NOT,
    HORA_TN_AND,
    HORA_TN_OR,
    HORA_TN_NEG,
    HORA_TN_POS,
    HORA_TN_BINARY,  /* a op b                                              */
    HORA_TN_COMPARE, /* a, then list of HORA_TN_BINARY with a NULL: a op b op c */
    HORA_TN_IF_ELSE, /* a if b else c (c may be NULL)                       */
    /* statements */
    HORA_TN_TEXT,     /* s                                                   */
    HORA_TN_PRINT,    /* a                                                   */
    HORA_TN_IF,       /* if a: list, else b (IF or BODY or NULL)             */
    HORA_TN_FOR,      /* for targets in a if b: list, else c                 */
    HORA_TN_SET,      /* targets = a, or targets[0].s = a when op = 1        */
    HORA_TN_SETBLOCK, /* targets[0] = text of list, through the filters of b */
    HORA_TN_MACRO,    /* name, targets = parameters (a = default), list; op: HORA_TPL_VARARGS .. */
    HORA_TN_CALLING,  /* call a, whose caller() is a macro of targets and list */
    HORA_TN_FILTERED, /* print b: filters over the text of list              */
    HORA_TN_CAPTURED, /* the text that the filters of the two above begin with */
    HORA_TN_WITH,     /* targets (a = value) in a scope of their own, list   */
    HORA_TN_GENERATION, /* list in a scope of its own; its text is supervised */
    HORA_TN_BODY,       /* list                                              */
    HORA_TN_BREAK,
    HORA_TN_CONTINUE
} hora_tn_kind;

/* What is special about a filter or test (traits of its node), or an attribute. */
enum {
    HORA_TPL_DEFINED = 1, /* a test that asks whether there is a value */
    HORA_TPL_LENGTH = 2,  /* a filter that counts */
    HORA_TPL_SAFE = 4,    /* a filter that keeps the mark of `safe` */
    HORA_TPL_METHOD = 8,  /* an attribute that may be a method */
    HORA_TPL_ORDER = 16,  /* a filter that gives the same elements: list, reverse */
    HORA_TPL_EACH = 32    /* a filter that makes something of each element, or nothing */
};

typedef struct hora_tn hora_tn;
typedef struct hora_tv hora_tv;
typedef struct hora_ts hora_ts;
typedef struct hora_builtin hora_builtin;

/* Of a value that grows with the number of messages. */
enum { HORA_TPL_PART = 1, HORA_TPL_BACKWARDS = 2 };

/* ---- values ---- */
typedef enum {
    HORA_TV_UNDEFINED, /* s: what was not there, for messages */
    HORA_TV_NONE,
    HORA_TV_BOOL, /* i */
    HORA_TV_INT,
    HORA_TV_BIG, /* an integer beyond 64 bits: s, n are its decimal digits, sign in front */
    HORA_TV_REAL,
    HORA_TV_STRING, /* s, n bytes of UTF-8 */
    HORA_TV_LIST,   /* list, n */
    HORA_TV_TUPLE,
    HORA_TV_DICT,  /* list: n pairs key, value */
    HORA_TV_SPACE, /* namespace */
    HORA_TV_LOOP,
    HORA_TV_MACRO,
    HORA_TV_FUNCTION, /* built-in function      */
    HORA_TV_METHOD    /* built-in method bound to list[0] */
} hora_tv_type;

struct hora_tv {
    hora_tv_type type;
    /* a string out of `safe`: `+` with others escapes them; a list: the view of a mapping that
     * items() and its like return */
    bool safe;
    /* `messages`, what follows some of them, or how many: HORA_TPL_PART; the same backwards */
    uint8_t part; /* (template_part.c) */
    size_t n;
    union {
        int64_t i;
        double r;
        const char *s;
        const hora_tv *list;
        struct hora_space *space;
        struct hora_loop *loop;
        struct hora_macro *macro;
    };
    union {
        const hora_builtin *fn; /* of a function or method */
        bool *once; /* of a list: it is a generator in Jinja, may be read once; set when it was */
    };
};

struct hora_tn {
    hora_tn_kind kind;
    int line, col;
    int name;        /* interned; -1 */
    unsigned traits; /* HORA_TPL_DEFINED .. */
    int64_t op;
    const char *s;
    size_t n;
    hora_tv value;
    hora_tn *a, *b, *c;
    hora_tn **list, **targets;
    int nlist, ntargets;
    const hora_builtin *fn;
};

struct hora_template {
    char *what;
    char *src; /* line breaks are \n, the last one dropped */
    size_t n;
    hora_pool pool; /* tree, names, strings */
    const char **names;
    int nnames, cnames;
    hora_tn *body;
    int loop, prompt;      /* names: `loop` and `add_generation_prompt`; -1: it does not say them */
    bool generates, dated; /* it has generation blocks; it asks for the date */
    bool remembers;        /* it has a cycler or a joiner, whose state no journal knows */
    struct tm date;
};

/* A namespace, a scope: few names, searched in order. */
typedef struct hora_space {
    struct hora_space *outer;
    int *names;
    hora_tv *values;
    int n, cap;
    int born;     /* the unit in which it was made (template_replay.c) */
    int64_t made; /* how many were made before it */
} hora_space;

typedef struct hora_loop {
    const hora_tv *items;
    size_t n, i;
    hora_tv *changed; /* arguments of the last loop.changed() */
    int nchanged;
    bool over;      /* it goes over messages: item i is number from + i, or from - i, */
    bool backwards; /* from the last one on */
    size_t from;
    const size_t *at; /* where not all are taken: at[i]; else NULL */
    bool cycler;      /* it is no loop: cycler(..) gives items in turn */
} hora_loop;

static inline size_t hora_loop_message(const hora_loop *l, size_t i) {
    return l->at ? l->at[i] : l->backwards ? l->from - i : l->from + i;
}

enum { HORA_TPL_VARARGS = 1, HORA_TPL_KWARGS = 2 }; /* what a macro's body speaks of */
typedef struct hora_macro {
    const hora_tn *node;
    hora_space *scope;
} hora_macro;

/* A body at work: what comes after the statement that runs now. */
typedef struct hora_frame {
    const struct hora_frame *outer;
    hora_tn *const *list;
    int n, i;
    hora_space *scope;
} hora_frame;
/* A write that a rendering of fewer messages will take back: of a variable, or of *flag. */
typedef struct hora_undo {
    hora_space *space, before;
    hora_tv value;
    int i;
    bool *flag;
} hora_undo;

/* ---- a rendering ---- */
struct hora_ts {
    const hora_template *t;
    hora_pool pool;
    hora_str *out; /* where PRINT and TEXT go */
    const hora_tn *at;
    hora_space *scope;
    const hora_json *vars;
    int64_t turns; /* messages[:turns]; -1: all */
    int prompt;    /* add_generation_prompt; -1: as in vars */
    int64_t steps;
    int depth;
    const hora_tv *captured; /* the text in front of the filters of a block */
    /* generation blocks (template_cut.c) */
    hora_str *page;     /* the output proper; `out` differs from it while text becomes a value */
    hora_spans *spoken; /* where blocks stand in page; NULL: nobody asks */
    bool signs, hidden; /* write signs around blocks; a block stood in text that became a value */
    /* renderings of fewer messages, branched off this one (template_cut.c) */
    const hora_frame *frame;
    hora_cut *cuts;
    int ncuts, inner;        /* inner > 0: what runs now cannot be left and continued */
    const hora_tv *messages; /* the elements, all of them */
    size_t nmessages;
    bool twice;  /* a branch went through messages once more: notes are cheaper */
    bool hasty;  /* it may be left (HORA_DONE) once that is so, for notes from the beginning */
    int passed;  /* cuts that could not be branched off */
    size_t seen; /* what was read so far is the same with this many messages or more */
    bool seen_prompt;
    int64_t made;      /* how many scopes and namespaces were */
    int64_t oldest;    /* of those that were written to (template_loop.c); 0: something else was */
    bool keep;         /* the value that is evaluated now may stay marked */
    hora_json **trees; /* what from_json read; the values borrow from it */
    int ntrees, ctrees;
    hora_undo *undo;
    int nundo, cundo;
    bool journal;
    /* a rendering that is noted, or played from notes (template_replay.c) */
    struct hora_tape *tape;
    int epoch;   /* of the unit */
    bool noting; /* a unit is open that may be played again */
    bool path;   /* the variable that is evaluated now is only gone through: ns.x, list[-1] */
};

/* Built-ins. `params` names the parameters, separated by blanks; at[k] is the argument of parameter
 * k where bit k of `set` is on. '*' in front: any number as given, n of them, given[k] tells
 * keywords; letters behind '*' say what the first ones are: a an attribute, t the name of a test, f
 * of a filter. At least `need` arguments must be there. */
typedef struct hora_arg {
    const char *s; /* its name, n bytes; NULL: given by position */
    size_t n;
    hora_tv v;
} hora_arg;
typedef struct hora_args {
    hora_tv in; /* filtered or tested value, receiver of a method */
    hora_tv *at;
    const hora_arg *given; /* as they stand in the call */
    int n;
    unsigned set;
} hora_args;
struct hora_builtin {
    const char *name;
    const char *params;
    int need;
    hora_status (*call)(hora_ts *st, const hora_args *a, hora_tv *out);
    unsigned on; /* methods: bit per hora_tv_type of the receiver */
};
#define HORA_TPL_MAX_ARGS 64
#define HORA_ON(type)     (1u << (type))

extern const hora_builtin hora_tpl_text_methods[]; /* template_string.c */
extern const size_t hora_tpl_n_text_methods;
hora_status hora_tpl_need_string(hora_ts *st, const hora_tv *v); /* refuses anything else */
const hora_builtin *hora_tpl_filter(const char *s, size_t n);    /* NULL: unknown */
const hora_builtin *hora_tpl_test(const char *s, size_t n);
const hora_builtin *hora_tpl_function(const char *s, size_t n);
/* type < 0: a method of any type */
const hora_builtin *hora_tpl_method(int type, const char *s, size_t n);
const hora_builtin *hora_tpl_cycler(const char *s, size_t n); /* methods of what cycler() gives */
/* Python's values of that type have it, or one of any type when type < 0, and ours have not. */
bool hora_tv_foreign(int type, const char *s, size_t n);
int hora_tpl_params(const hora_builtin *fn); /* how many names stand in fn->params */
/* Number of parameter `s` in fn->params, or -1. */
int hora_tpl_param(const hora_builtin *fn, const char *s, size_t n);

/* template_lex.c, template_parse.c */
hora_status hora_tpl_lex(hora_template *t, hora_token **tokens, int *n);
hora_status hora_tpl_parse(hora_template *t, const hora_token *tokens, int n);
int hora_tpl_intern(hora_template *t, const char *s, size_t n); /* -1: too many */
int hora_tpl_name(const hora_template *t, const char *s, size_t n);

typedef struct hora_strange {
    const char *kind; /* "filter", "test", "method" */
    const hora_token *at;
} hora_strange;
/* A parser at work, shared by template_parse.c (expressions) and template_tag.c (statements). */
typedef struct hora_tp {
    hora_template *t;
    const hora_token *tok; /* current */
    int depth, loops;
    int soft;       /* inside of an if, where Jinja lets what it does not know stand */
    hora_tn *macro; /* innermost */
    bool *bound;    /* per name: something in the template assigns it */
    hora_tn **free; /* calls of plain names, checked at the end */
    int nfree, cfree;
    hora_strange *strange; /* what is not known here and stands outside of any if, likewise */
    int nstrange, cstrange;
} hora_tp;
hora_status hora_tp_fail(hora_tp *p, hora_status code, const char *fmt, ...) HORA_PRINTF(3, 4);
hora_tn *hora_tp_node(hora_tp *p, hora_tn_kind kind);
hora_tn **hora_tp_list(hora_tp *p, hora_tn *const *at, int n); /* copies into the pool */
bool hora_tp_is_op(const hora_tp *p, int64_t op);
bool hora_tp_is_name(const hora_tp *p, const char *name);
bool hora_tk_is(const hora_token *k, const char *name);
bool hora_tp_take_op(hora_tp *p, int64_t op); /* moves on if it is there */
bool hora_tp_take_name(hora_tp *p, const char *name);
hora_status hora_tp_primary(hora_tp *p, hora_tn **out); /* a value without what follows it */
hora_status hora_tp_expect_op(hora_tp *p, int64_t op, const char *what);
hora_status hora_tp_expect(hora_tp *p, hora_tk type, const char *what);
hora_status hora_tp_expr(hora_tp *p, hora_tn **out); /* no tuple */
hora_status hora_tp_tuple(hora_tp *p, bool if_else, hora_tn **out);
hora_status hora_tp_filters(hora_tp *p, hora_tn **e); /* filters (and calls) behind a value */
hora_status hora_tp_filter(hora_tp *p, hora_tn **e);  /* one, from its name on */
hora_status hora_tp_postfix(hora_tp *p, hora_tn **e);
const char *hora_tk_text(const hora_token *k, char buf[40]);

/* template_run.c */
enum { HORA_TPL_GO, HORA_TPL_BREAK, HORA_TPL_CONTINUE }; /* signals of a body */
hora_status hora_ts_fail(hora_ts *st, const char *fmt, ...) HORA_PRINTF(2, 3);
hora_status hora_ts_step(hora_ts *st, size_t cost);
hora_status hora_ts_enter(hora_ts *st);
hora_status hora_ts_eval(hora_ts *st, const hora_tn *e, hora_tv *out);
hora_status hora_ts_body(hora_ts *st, hora_tn *const *list, int n, int *signal);
hora_status hora_ts_one(hora_ts *st, const hora_tn *e, int *signal);
hora_status hora_ts_name(hora_ts *st, int name, hora_tv *out);
hora_status hora_ts_assign(hora_ts *st, hora_space *scope, hora_tn *const *targets, int n,
                           const hora_tv *v);
/* template_args.c: evaluates the arguments of a call, * and ** taken apart, into the pool; binds
 * them to the parameters of a filter, test, method or function; calls a macro. `caller` may be
 * NULL. */
hora_status hora_ts_args(hora_ts *st, hora_tn *const *list, int n, hora_arg **out, int *count);
hora_status hora_ts_bind(hora_ts *st, const hora_builtin *fn, const hora_arg *given, int n,
                         hora_args *a);
hora_status hora_ts_macro(hora_ts *st, const hora_tv *f, const hora_arg *given, int n,
                          const hora_tv *caller, hora_tv *out);
/* The text of a body as a value. */
hora_status hora_ts_capture(hora_ts *st, hora_space *scope, const hora_tn *e, hora_tv *out);

/* Whether e is a number that is written there. */
bool hora_tpl_index(const hora_tn *e, int64_t *out);
/* template_part.c: like hora_ts_eval, but a list of messages, or their number, may come out marked,
 * for who knows what to note when it is looked at */
hora_status hora_ts_part(hora_ts *st, const hora_tn *e, hora_tv *out);
hora_status hora_ts_access(hora_ts *st, const hora_tn *e, hora_tv *out); /* a.b, a[b], a[b:c] */
hora_status hora_ts_compare(hora_ts *st, const hora_tn *e, hora_tv *out);
/* The value of a condition and its truth; `next`: what follows `and`, or NULL. */
hora_status hora_ts_truth(hora_ts *st, const hora_tn *e, const hora_tn *next, hora_tv *out,
                          bool *yes);
/* What a filter gives of a marked value. */
void hora_ts_part_filter(hora_ts *st, const hora_tn *e, const hora_tv *in, hora_tv *out);
void hora_ts_part_sum(hora_ts *st, int64_t op, const hora_tv *a, const hora_tv *b, hora_tv *out);
/* template_loop.c */
hora_status hora_ts_for(hora_ts *st, const hora_tn *e, int *signal);
hora_status hora_ts_iterate(hora_ts *st, const hora_tn *e, hora_loop *loop, int *inner);
hora_status hora_loop_attr(hora_ts *st, const hora_loop *l, const char *s, size_t n, hora_tv *out);
/* template_cut.c */
hora_status hora_ts_run(hora_ts *st); /* the template, once; its values live until hora_ts_end */
void hora_ts_end(hora_ts *st);
/* What a text is in terms of the whole, or that it cannot be rendered: its first `same` bytes are
 * the whole's, `text` follows. */
void hora_cut_fill(hora_cut *c, hora_status s, const hora_str *text, size_t same,
                   const hora_str *whole);
hora_status hora_ts_branch(hora_ts *st, const hora_tn *e, hora_loop *loop);
void hora_ts_see(hora_ts *st, size_t messages); /* that many of them were looked at */
hora_status hora_ts_generation(hora_ts *st, const hora_tn *e, int *signal);
void hora_space_set(hora_ts *st, hora_space *s, int name, hora_tv v);
bool hora_space_get(const hora_space *s, int name, hora_tv *out);
hora_space *hora_space_new(hora_ts *st, hora_space *outer);
/* template_replay.c: a statement, or the iteration of a loop over messages, noted or played; what
 * the open unit reads and writes: variable `name` as it was found in a scope (kept: it was there),
 * name.attr or name[number] (e), an attribute (or -1: the variable) that is set. */
hora_status hora_ts_unit(hora_ts *st, const hora_tn *e, hora_loop *loop, int *signal);
void hora_note_lost(hora_ts *st);
void hora_note_read(hora_ts *st, const hora_space *in, int name, const hora_tv *v, bool kept);
void hora_note_path(hora_ts *st, int name, const hora_tv *box, const hora_tn *e, const hora_tv *v);
void hora_note_write(hora_ts *st, int name, int attr, const hora_tv *v);
int hora_note_mark(const hora_ts *st);
void hora_note_compare(hora_ts *st, const hora_tn *e, int from, int between, const hora_tv *a,
                       const hora_tv *b, bool yes);
bool hora_tape_given(hora_ts *st, int name, hora_tv *out);
void hora_tape_give(hora_ts *st, int name, hora_tv v);
/* A filter over messages that asks each for itself (HORA_TPL_EACH): made once, when all of them are
 * noted; where fewer are played it gives the beginning of that. False: it is not known. */
bool hora_tape_picked(hora_ts *st, const hora_tn *e, const hora_tv *in, hora_tv *out);
hora_status hora_tape_pick(hora_ts *st, const hora_tn *e, const hora_args *a, hora_tv *out);
/* Renders the cuts that are not done; false: it cannot say anything about them. `whole` is the
 * whole conversation; `fresh`: it is empty and gets it. */
bool hora_tape_cuts(const hora_template *t, const hora_json *vars, hora_str *whole, bool fresh,
                    hora_cut *cuts, int n);
static inline bool hora_ts_top(const hora_ts *st) { /* of a noted or played rendering */
    return st->tape && !st->inner && !st->noting && st->out == st->page;
}

/* template_value.c: what Python does with its values. */
hora_tv hora_tv_digits(const char *s, size_t n); /* BIG; s outlives the rendering */
hora_tv hora_tv_undefined(const char *name);
hora_status hora_tv_missing(hora_ts *st, const char *s, size_t n,
                            hora_tv *out); /* undefined, by name */
hora_tv hora_tv_none(void);
hora_tv hora_tv_bool(bool v);
hora_tv hora_tv_int(int64_t v);
hora_tv hora_tv_real(double v);
hora_tv hora_tv_borrow(const char *s, size_t n); /* string that outlives the rendering */
hora_tv hora_tv_seq(hora_tv_type type, const hora_tv *list, size_t n);
hora_status hora_tv_string(hora_ts *st, const char *s, size_t n, hora_tv *out); /* copies */
hora_status hora_tv_take(hora_ts *st, hora_str *own, hora_status s, hora_tv *out);
hora_status hora_tv_room(hora_ts *st, size_t n, size_t each, hora_tv **out);
const char *hora_tv_name(const hora_tv *v); /* "a string", "none" .. */
hora_status hora_tv_json(hora_ts *st, const hora_json *j, hora_tv *out);
bool hora_tv_truth(const hora_tv *v);
bool hora_tv_number(const hora_tv *v, double *out); /* bool, int, real */
bool hora_tv_integer(const hora_tv *v, int64_t *out);
bool hora_tv_same(const hora_tv *a, const hora_tv *b); /* nothing tells them apart */
hora_status hora_tv_equal(hora_ts *st, const hora_tv *a, const hora_tv *b, bool *out);
hora_status hora_tv_order(hora_ts *st, const hora_tv *a, const hora_tv *b, int *out);
hora_status hora_tv_contains(hora_ts *st, const hora_tv *box, const hora_tv *v, bool *out);
hora_status hora_tv_attr(hora_ts *st, const hora_tv *v, const char *s, size_t n, hora_tv *out);
hora_status hora_tv_item(hora_ts *st, const hora_tv *v, const hora_tv *key, hora_tv *out);
hora_status hora_tv_slice(hora_ts *st, const hora_tv *v, const hora_tv part[3], hora_tv *out);
/* Elements of anything iterable: list, tuple, keys of a dict, characters of a string, nothing of
 * undefined. */
hora_status hora_tv_elements(hora_ts *st, const hora_tv *v, const hora_tv **items, size_t *n);
hora_status hora_tv_plain(hora_ts *st, const hora_tv *v); /* refuses generators and views */
/* Makes a list what Jinja's lazy filters return: true when empty, without length, read once. */
hora_status hora_tv_generator(hora_ts *st, hora_tv *v);
hora_status hora_tv_dict_get(hora_ts *st, const hora_tv *d, const hora_tv *key,
                             const hora_tv **out);
hora_status hora_tv_binary(hora_ts *st, int64_t op, const hora_tv *a, const hora_tv *b,
                           hora_tv *out);
/* template_text.c: str(), repr(), json.dumps(), Python's white space */
hora_status hora_tv_print(hora_ts *st, const hora_tv *v, hora_str *out);
hora_status hora_tv_text(hora_ts *st, const hora_tv *v, hora_tv *out); /* str(v) as a value */
typedef struct hora_dumps {
    bool ascii, sort;
    int64_t indent; /* -1: one line */
    const char *item, *key;
    size_t nitem, nkey;
} hora_dumps;
/* & < > ' " as Jinja's escape() writes them; safe text stays. The result is safe. */
hora_status hora_tv_escape(hora_ts *st, const hora_tv *v, hora_tv *out);
/* template_format.c: text % values (a tuple, or one value, or a mapping), and text.format(..) */
hora_status hora_tv_format(hora_ts *st, const hora_tv *text, const hora_tv *values, hora_tv *out);
hora_status hora_tv_braces(hora_ts *st, const hora_tv *text, const hora_arg *given, int n,
                           hora_tv *out);
hora_status hora_tv_dumps(hora_ts *st, const hora_tv *v, const hora_dumps *how, hora_str *out);
size_t hora_utf8_space(const char *s, size_t n);      /* bytes of the white space at s, or 0  */
size_t hora_utf8_space_back(const char *s, size_t n); /* the same, at the end of s[0..n)      */
size_t hora_utf8_length(const char *s, size_t n);     /* code points */
hora_status hora_tv_sort(hora_ts *st, hora_tv *keys, hora_tv *items, size_t n, bool reverse);
#endif
