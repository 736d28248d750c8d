/*
 * Opening a base: config.json picks the family, its weights table is bound to the mapped shards.
 * Weights in the dtype asked for stay mapped; others are converted once into one block. All that is
 * missing, extra or misshapen is said in one message.
 */
#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"
#include "format/bnb.h"
#include "format/gguf_hf.h"
#include "format/hf_config.h"
#include "format/safetensors.h"
#include "model/family.h"
#include "model/fill_impl.h"
#include "model/vocabulary.h"
#include "tensor/blocks.h"

typedef struct store {
    hora_st *st;
    void *block; /* converted or fresh weights */
    size_t bytes;
    bool shared;       /* the block is the machine's */
    uint64_t seed;     /* of what is fresh */
    bool fresh_head;   /* the head in the files is not wanted */
    bool complete;     /* the views have data */
    bool double_quant; /* of NF4 */
    hora_blocks_cache cache;
    hora_vocabulary vocabulary; /* of an adapter */
} store;

static hora_status configure_family(hora_base *b) {
    HORA_TRY(b->family->configure(b));
    hora_base_add_ends(b);
    return HORA_OK;
}

static hora_status configure(hora_base *b, const char *config_path, const hora_base_options *o) {
    b->dtype = o->dtype;
    b->bare = o->bare;
    b->sharing = o->sharing;
    b->embed = b->head = b->head_bias = -1;
    HORA_TRY(hora_hf_config_load(&b->config, config_path));
    if (hora_json_type(b->config) != HORA_JOBJECT)
        return hora_fail(HORA_EFORMAT, "%s: config.json should be an object", b->dir);
    HORA_TRY(hora_family_pick(b));
    b->encoder = b->family->encoder;
    hora_status s = configure_family(b);
    b->tied &= !b->bare;
    return s ? hora_context(s, "%s", b->dir) : HORA_OK;
}

/* The tensor `name`, or that name without the base's prefix, as checkpoints of a bare backbone have
 * it. */
static const hora_st_tensor *named(const hora_base *b, const hora_st *st, const char *name) {
    const hora_st_tensor *t = hora_st_find(st, name);
    if (!t && b->prefix && hora_starts(name, b->prefix))
        t = hora_st_find(st, name + strlen(b->prefix));
    return t;
}

/* The tensor of weight `w`, by the name that the files have. */
static const hora_st_tensor *find(const hora_base *b, const hora_st *st, const hora_weight *w) {
    return named(b, st, hora_weight_spelling(w).name);
}

/* Chooses among the names of each weight. */
static void spell(hora_base *b, const hora_st *st) {
    for (int i = 0; i < b->nweights; i++) {
        hora_weight *w = &b->weights[i];
        const int first = w->spelt;
        w->spelt = -1;
        while (!find(b, st, w) && w->spelt + 1 < w->nalso)
            w->spelt++;
        if (!find(b, st, w))
            w->spelt = first;
    }
}

/* The part of tensor `t` that is weight `w`. */
static hora_view part_of(const hora_weight *w, const hora_st_tensor *t) {
    const hora_spelling s = hora_weight_spelling(w);
    hora_view v = {t->view.data, t->view.dtype, w->view.shape};
    const size_t row = (size_t)hora_row_elems(&w->view.shape) * hora_dtype_size(v.dtype);
    if (v.data)
        v.data = (char *)v.data + (size_t)s.from * row;
    return v;
}

/* It has the shape that the weight's tensor should have. */
static bool fits(const hora_weight *w, const hora_st_tensor *t, hora_shape *want) {
    const hora_spelling s = hora_weight_spelling(w);
    *want = hora_weight_disk(w);
    if (s.rows)
        want->d[0] = s.rows;
    return hora_shape_equal(&t->view.shape, want);
}

/* Part of the head of a task, as the family calls it. */
static bool of_head(const hora_base *b, const char *name) {
    const size_t n = b->head_module ? strlen(b->head_module) : 0;
    return n && hora_starts(name, b->head_module) && name[n] == '.';
}

static bool ignorable(const hora_base *b, const char *name) {
    return hora_ends(name, "rotary_emb.inv_freq") ||
           ((b->tied || b->bare) && hora_eq(name, "lm_head.weight")) ||
           (b->bare && of_head(b, name)) || (b->family->ignores && b->family->ignores(b, name));
}

static void release_weight(hora_weight *w) {
    for (int i = 0; i < w->nalso; i++)
        hora_free(w->also[i].name);
    hora_free(w->also);
    hora_free(w->name);
}

static void release_site(hora_site *s) {
    for (int i = 0; i < s->nalso; i++)
        hora_free(s->also[i]);
    hora_free(s->also);
    hora_free(s->fused);
    hora_free(s->module);
}

/* What the family's `configure` made. */
static void release_parts(hora_base *b) {
    if (b->family && b->family->release)
        b->family->release(b);
    for (int i = 0; i < b->nweights; i++)
        release_weight(&b->weights[i]);
    for (int i = 0; i < b->nsites + b->nends; i++)
        release_site(&b->sites[i]);
    hora_free(b->weights);
    hora_free(b->sites);
    hora_free(b->vision);
    b->weights = NULL;
    b->sites = NULL;
    b->vision = NULL;
    b->nweights = b->nsites = b->nends = 0;
}

/* A weight reads this tensor. */
static bool is_read(const hora_base *b, const hora_st *st, const hora_st_tensor *t) {
    bool yes = ignorable(b, t->name);
    for (int i = 0; i < b->nweights && !yes; i++)
        yes = find(b, st, &b->weights[i]) == t;
    return yes;
}

/* One message for all that does not fit; only the first few names of each kind. */
static hora_status compare(const hora_base *b, const hora_st *st) {
    hora_str bad = {0};
    int count = 0;
    const bool gguf = hora_gguf_is(b->dir);
    const char *const source = gguf ? "its metadata" : "config.json";
    for (int i = 0; i < b->nweights; i++) {
        const hora_weight *w = &b->weights[i];
        const hora_st_tensor *t = w->tied ? NULL : find(b, st, w);
        char have[128], want[128];
        hora_shape shape;
        if (!t && !w->tied && count++ < 6)
            hora_str_printf(&bad, "; missing %s", hora_weight_spelling(w).name);
        else if (t && !fits(w, t, &shape) && count++ < 6)
            hora_str_printf(&bad, "; %s is %s, %s makes it %s", t->name,
                            hora_shape_text(have, &t->view.shape), source,
                            hora_shape_text(want, &shape));
        else if (t && !hora_dtype_is_float(t->view.dtype) && count++ < 6)
            hora_str_printf(&bad, "; %s has dtype %s", t->name, t->dtype_name);
    }
    for (int i = 0; i < hora_st_count(st); i++)
        if (!hora_st_at(st, i)->beside && !is_read(b, st, hora_st_at(st, i)) && count++ < 6)
            hora_str_printf(&bad, "; %s is not part of a %s", hora_st_at(st, i)->name,
                            b->model_type);
    hora_status s =
        count ? hora_fail(HORA_ESHAPE, "%s: %d tensor%s not fit %s%s%s; %s", b->dir, count,
                          count == 1 ? " does" : "s do", source, bad.s, count > 6 ? "; .." : "",
                          gguf ? "the file is damaged: fetch or convert it again"
                               : "use the weights and config.json of one model")
              : HORA_OK;
    hora_str_release(&bad);
    return s;
}

/* The tensor can be used where it lies in the file. */
static bool fits_as_is(const hora_weight *w, const hora_view *v) {
    const size_t size = hora_dtype_size(v->dtype); /* 0: blocks, whose bytes lie anywhere */
    return v->dtype == w->view.dtype && (!size || (uintptr_t)v->data % size == 0);
}

/* The tensor that holds weight `w`; NULL: none does, it is fresh. */
static const hora_st_tensor *tensor_of(const hora_base *b, const hora_weight *w) {
    const store *own = b->store;
    const hora_st_tensor *table = hora_vocabulary_find(&own->vocabulary, b, w);
    if (table)
        return table;
    const bool wanted = own->st && !(own->fresh_head && of_head(b, w->name));
    const hora_st_tensor *t = wanted ? find(b, own->st, w) : NULL;
    hora_shape shape;
    return t && fits(w, t, &shape) ? t : NULL;
}

/* It can be used where it lies; in a plan without weights the dtype of config.json tells. */
static bool will_fit(const hora_base *b, int i) {
    const char *name = hora_json_string(hora_json_get(b->config, "torch_dtype"), NULL);
    const hora_st_tensor *t = tensor_of(b, &b->weights[i]);
    if (b->config_alone)
        return b->weights[i].view.dtype == (hora_eq(name, "bfloat16") ? HORA_BF16 : HORA_F32);
    if (!t)
        return false;
    const store *own = b->store;
    if (hora_blocks_cache_find(&own->cache, &b->weights[i]))
        return true;
    const hora_view v = part_of(&b->weights[i], t);
    return !t->interleaved && !t->parts && fits_as_is(&b->weights[i], &v);
}

static void measure_store(hora_base *b) {
    b->store_bytes = 0;
    for (int i = 0; i < b->nweights; i++)
        if (!b->weights[i].tied && !will_fit(b, i))
            b->store_bytes +=
                (size_t)hora_round_up((int64_t)hora_view_bytes(&b->weights[i].view), 64);
}

/* Memory for what does not stay where it lies. */
static hora_status take_block(const hora_base *b, store *own) {
    own->bytes = b->store_bytes;
    if (own->bytes && b->sharing)
        HORA_TRY(b->sharing->take(b->sharing->user, own->bytes, &own->block));
    own->shared = own->block != NULL;
    return own->shared || !own->bytes
               ? HORA_OK
               : hora_block_new(&own->block, own->bytes,
                                own->st ? "converted weights" : "fresh weights");
}

/* Where the weight is not what the tensor's parts make, that is put together beside it first. */
static hora_status fill_from_parts(const hora_weight *w, const hora_st_tensor *t) {
    hora_view v = {w->view.data, t->view.dtype, w->view.shape};
    const size_t bytes = hora_view_bytes(&v);
    void *own = NULL;
    if (hora_weight_spelling(w).rows)
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s is one of several matrices in one tensor of four bits; open an "
                         "unquantised copy of the model",
                         w->name);
    if (v.dtype == w->view.dtype)
        return hora_bnb_take(t, v.data);
    HORA_TRY(hora_block_new(&own, bytes, w->name));
    v.data = own;
    hora_status s = hora_bnb_take(t, own);
    if (s == HORA_OK)
        s = hora_weight_fill(w, &v, 0);
    hora_block_free(own, bytes);
    return s;
}

/* From tensor t, or drawn where no file has it. v: the part of t. */
static hora_status fill_weight(const store *own, const hora_weight *w, const hora_st_tensor *t,
                               const hora_view *v) {
    if (!t) {
        hora_weight_draw(w, own->seed);
        return HORA_OK;
    }
    HORA_TRY(t->parts ? fill_from_parts(w, t) : hora_weight_fill(w, v, t->interleaved));
    if (own->double_quant && w->view.dtype == HORA_NF4)
        hora_nf4_round_scales(w->view.data, hora_elems(&w->view) / hora_dtype_block(HORA_NF4), NULL,
                              NULL);
    if (hora_st_find(own->st, t->name) == t) /* not an adapter's */
        hora_st_forget(own->st, t);
    return HORA_OK;
}

static hora_status bind_weights(hora_base *b, store *own) {
    size_t at = 0;
    own->complete = true;
    HORA_TRY(take_block(b, own));
    for (int i = 0; i < b->nweights; i++) {
        hora_weight *w = &b->weights[i];
        const hora_st_tensor *t = tensor_of(b, w);
        if (w->tied) { /* the embedding stands before it */
            w->view.data = b->weights[b->embed].view.data;
            continue;
        }
        const hora_view v = t ? part_of(w, t) : w->view;
        if (t && will_fit(b, i)) {
            const void *kept = hora_blocks_cache_find(&own->cache, w);
            w->view.data = kept ? (void *)(uintptr_t)kept : v.data;
            continue;
        }
        w->view.data = (char *)own->block + at;
        at += (size_t)hora_round_up((int64_t)hora_view_bytes(&w->view), 64);
        if (!own->shared || hora_share_fills(b->sharing, i))
            HORA_TRY(fill_weight(own, w, t, &v));
    }
    if (own->shared)
        HORA_TRY(b->sharing->filled(b->sharing->user));
    if (own->cache.path && !own->cache.st && (!own->shared || hora_share_fills(b->sharing, 0)))
        hora_blocks_cache_write(&own->cache, b);
    return HORA_OK;
}

/* Read by ops that take rows out of blocks on the way: products, and tables of rows. */
static bool may_lie_in_blocks(const hora_weight *w) {
    return w->role == HORA_ROLE_WEIGHT || w->role == HORA_ROLE_EMBED || w->role == HORA_ROLE_HEAD;
}

/* Matrices that the file has in blocks stay so, the embedding and the head among them. */
static void keep_blocks(hora_base *b) {
    for (int i = 0; i < b->nweights; i++) {
        hora_weight *w = &b->weights[i];
        const hora_st_tensor *t = tensor_of(b, w->tied ? &b->weights[b->embed] : w);
        if (t && may_lie_in_blocks(w) && hora_dtype_block(t->view.dtype) > 1 &&
            !hora_weight_spelling(w).rows)
            w->view.dtype = t->view.dtype;
    }
}

/* Matrices become blocks of the type that is asked for; the head of a task trains and stays. */
static hora_status choose_blocks(hora_base *b, const hora_base_options *o) {
    hora_fallback fallen = {0};
    for (int i = 0; o->quantize != HORA_F32 && i < b->nweights; i++) {
        hora_weight *w = &b->weights[i];
        if (hora_dtype_block(w->view.dtype) > 1)
            return hora_fail(HORA_EUSAGE,
                             "%s: %s lies in blocks of %s already; leave quantize out, or start "
                             "from the model that it was made from",
                             b->dir, w->name, hora_dtype_name(w->view.dtype));
        if (!may_lie_in_blocks(w) || w->view.shape.n != 2)
            continue;
        const hora_dtype t = hora_blocks_that_fit(o->quantize, w->view.shape.d[1]);
        const hora_dtype as = hora_dtype_block(t) > 1 ? t : b->dtype;
        if (!w->tied)
            hora_fallback_add(&fallen, w->name, o->quantize, as);
        w->view.dtype = as;
    }
    hora_fallback_say(&fallen);
    return HORA_OK;
}

/* A tied model whose file holds a head that is not the embedding: merges of adapters that trained
 * the head leave the flag standing. The head counts, as transformers 5 has it. */
static hora_status untie(hora_base *b, const hora_st *st) {
    const hora_st_tensor *head = b->tied ? hora_st_find(st, "lm_head.weight") : NULL;
    const hora_st_tensor *embed = head ? find(b, st, &b->weights[b->embed]) : NULL;
    if (!embed || !hora_shape_equal(&head->view.shape, &embed->view.shape) || head->parts ||
        embed->parts ||
        (head->view.dtype == embed->view.dtype &&
         memcmp(head->view.data, embed->view.data, head->bytes) == 0))
        return HORA_OK;
    hora_warn("%s: config.json ties the head to the embedding, but lm_head.weight holds other "
              "numbers: the head counts",
              b->dir);
    hora_json_set(b->config, "tie_word_embeddings", hora_json_new_bool(false));
    release_parts(b);
    return configure_family(b);
}

/* The adapter brings another number of tokens: with them its embedding and head are the base's. */
static hora_status take_vocabulary(hora_base *b, store *own, const char *adapter) {
    HORA_TRY(hora_vocabulary_open(&own->vocabulary, b, adapter));
    if (!own->vocabulary.st)
        return HORA_OK;
    b->file_vocab = b->vocab;
    hora_json_set(b->config, "vocab_size", hora_json_new_int(own->vocabulary.rows));
    release_parts(b);
    HORA_TRY(configure_family(b));
    if (own->st)
        spell(b, own->st);
    b->tied &= !b->bare;
    if (hora_vocabulary_tokenizer(adapter))
        b->words = hora_strdup(adapter);
    hora_info("%s brings a vocabulary of %lld tokens (the model's has %lld), its embedding and "
              "head%s",
              adapter, (long long)b->vocab, (long long)b->file_vocab,
              b->words ? ", and its tokenizer" : "; the tokenizer is the model's");
    return HORA_OK;
}

static hora_status open_into(hora_base *b, const char *dir, const hora_base_options *o) {
    bool folder;
    HORA_TRY(hora_path_is_folder(dir, &folder));
    if (!folder && !hora_model_path(dir))
        return hora_fail(
            HORA_ENOTFOUND,
            "%s is no model directory (it should hold config.json and model.safetensors), no "
            "GGUF file and no JAX checkpoint",
            dir);
    HORA_TRY(configure(b, dir, o));
    store *own = b->store = hora_calloc(1, sizeof *own);
    b->config_alone = o->config_alone && o->headers_only && !hora_st_model_there(dir);
    if (!b->config_alone) {
        HORA_TRY(hora_st_open_model(&own->st, dir));
        b->files = own->st;
        HORA_TRY(untie(b, own->st));
        spell(b, own->st);
        HORA_TRY(compare(b, own->st));
    }
    if (o->adapter)
        HORA_TRY(take_vocabulary(b, own, o->adapter));
    if (own->st && !o->unpacked)
        keep_blocks(b);
    own->double_quant = o->double_quant;
    HORA_TRY(choose_blocks(b, o));
    if (o->quantize_cache && !b->file_vocab) /* those are of the model's own tables */
        HORA_TRY(hora_blocks_cache_open(&own->cache, b, own->st, o->quantize, o->double_quant));
    measure_store(b);
    return o->headers_only ? HORA_OK : bind_weights(b, own);
}

hora_status hora_base_complete(hora_base *b) {
    store *own = b->store;
    HORA_ASSERT(!b->config_alone);
    return own->complete ? HORA_OK : bind_weights(b, own);
}

/* --- a task's head ---------------------------------------------------------------------------- */
/* Returns the weight's index; *fresh is set where no file has it. */
static int add_part(hora_base *b, char *own_name, hora_shape shape, hora_role role, bool *fresh) {
    const store *own = b->store;
    const int at = hora_base_add_weight(b, own_name, shape, role, -1, b->head_std);
    const hora_weight *w = &b->weights[at];
    if (!tensor_of(b, w)) {
        const hora_st_tensor *t = own->st ? find(b, own->st, w) : NULL;
        char have[128], want[128];
        if (t && !own->fresh_head && !b->head_elsewhere && !*fresh) /* once: not of the bias too */
            hora_warn("%s: %s is %s, but %s is wanted: a new one is trained", b->dir, w->name,
                      hora_shape_text(have, &t->view.shape), hora_shape_text(want, &shape));
        *fresh = true;
    }
    return at;
}

void hora_base_neck(hora_base *b, const char *name, hora_shape shape, hora_role role) {
    HORA_ASSERT(b->nneck < HORA_NECK);
    b->neck[b->nneck] = add_part(b, hora_strdup(name), shape, role, &b->neck_trains);
    b->nneck++;
}

static int add_head(hora_base *b, const char *part, hora_shape shape, hora_role role) {
    return add_part(b, hora_format("%s.%s", b->head_module, part), shape, role, &b->head_fresh);
}

hora_status hora_base_head(hora_base *b, const char *task_type, int64_t classes, bool bias,
                           bool fresh, uint64_t seed) {
    store *own = b->store;
    HORA_ASSERT(b->bare && b->head < 0 && !own->complete);
    b->head_fresh = fresh;
    if (b->family->head)
        HORA_TRY(b->family->head(b, task_type, classes));
    if (!b->head_module)
        return hora_fail(HORA_EUNSUPPORTED, "%s: the family %s has no head for this task", b->dir,
                         b->family->name);
    own->fresh_head = fresh;
    b->head_owner = hora_calloc(1, sizeof *b->head_owner);
    if (own->st)
        own->seed = seed;
    b->head = add_head(b, "weight", HORA_SHAPE2(classes, b->head_in ? b->head_in : b->hidden),
                       HORA_ROLE_HEAD);
    if (bias || b->head_biased)
        b->head_bias = add_head(b, "bias", HORA_SHAPE1(classes), HORA_ROLE_BIAS);
    measure_store(b);
    return HORA_OK;
}

hora_status hora_base_open(hora_base **out, const char *dir, const hora_base_options *o) {
    hora_base *b = hora_calloc(1, sizeof *b);
    b->dir = hora_strdup(dir);
    hora_status s = open_into(b, dir, o);
    if (s) {
        hora_base_close(b);
        b = NULL;
    }
    *out = b;
    return s;
}

void hora_base_close(hora_base *b) {
    if (!b)
        return;
    release_parts(b);
    store *own = b->store;
    if (own) {
        hora_blocks_cache_release(&own->cache);
        hora_vocabulary_close(&own->vocabulary);
        hora_st_close(own->st);
        if (!own->shared)
            hora_block_free(own->block, own->bytes);
        hora_free(own);
    }
    hora_free(b->head_owner);
    hora_json_free(b->config);
    hora_free(b->model_type);
    hora_free(b->words);
    hora_free(b->dir);
    hora_free(b);
}

/* --- fresh models ----------------------------------------------------------------------------- */

static hora_status fresh_into(hora_base *b, const char *path, const hora_base_options *o,
                              uint64_t seed) {
    HORA_TRY(configure(b, path, o));
    store *own = b->store = hora_calloc(1, sizeof *own);
    own->seed = seed;
    measure_store(b);
    return o->headers_only ? HORA_OK : bind_weights(b, own);
}

hora_status hora_base_fresh(hora_base **out, const char *config_path, const hora_base_options *o,
                            uint64_t seed) {
    hora_base *b = hora_calloc(1, sizeof *b);
    b->dir = hora_strdup(config_path);
    hora_status s = fresh_into(b, config_path, o, seed);
    if (s) {
        hora_base_close(b);
        b = NULL;
    }
    *out = b;
    return s;
}

uint64_t hora_base_mapped(const hora_base *b) {
    const store *own = b->store;
    uint64_t sum = 0;
    for (int i = 0; (own->st || b->config_alone) && i < b->nweights; i++) {
        const hora_weight *w = &b->weights[i];
        bool product = w->role == HORA_ROLE_WEIGHT || (w->role == HORA_ROLE_HEAD && !b->tied);
        if (product && will_fit(b, i))
            sum += hora_view_bytes(&w->view);
    }
    return sum;
}

void hora_base_forget(const hora_base *b, const void *data) {
    const store *own = b->store;
    for (int i = 0; own->st && i < b->nweights; i++) {
        const hora_st_tensor *t = tensor_of(b, &b->weights[i]);
        if (t && part_of(&b->weights[i], t).data == data) {
            hora_st_forget(own->st, t);
            return;
        }
    }
}

/* --- identity --------------------------------------------------------------------------------- */
hora_status hora_base_unchanged(const hora_base *b) {
    const store *s = b->store;
    return s && s->st ? hora_st_unchanged(s->st) : HORA_OK;
}

hora_status hora_base_hash(hora_base *b, uint64_t *hash) {
    const store *own = b->store;
    if (!b->hash && own->st)
        b->hash = hora_st_hash(own->st);
    for (int i = 0; !own->st && !b->hash && i < b->nweights; i++) {
        const hora_view *v = &b->weights[i].view;
        if (!v->data)
            return hora_fail(HORA_EUSAGE, "a model without data has no hash");
    }
    if (!b->hash)
        b->hash = hora_hash64(own->block, own->bytes, 0);
    *hash = b->hash;
    return HORA_OK;
}
