/* config.json in one spelling, whichever transformers wrote it; stop tokens. */
#include <stdio.h>

#include "base/file.h"
#include "format/hf_config.h"
#include "hora_test.h"

static hora_status normalize(const char *text, hora_str *out) {
    hora_json *raw, *config = NULL;
    assert_ok(hora_json_parse(&raw, text, strlen(text), "config.json"));
    hora_status s = hora_hf_config_normalize(&config, raw);
    out->n = 0;
    if (s == HORA_OK)
        hora_json_dump(config, 0, true, out);
    hora_json_free(config);
    hora_json_free(raw);
    return s;
}

static const struct {
    const char *file, *becomes;
} spellings[] = {
    {"{\"model_type\": \"llama\", \"rope_theta\": 1e4}",
     "{\"model_type\": \"llama\", \"rope_theta\": 10000.0}"},
    /* transformers 5, plain */
    {"{\"rope_parameters\": {\"rope_theta\": 500000.0, \"rope_type\": \"default\"}, \"dtype\": "
     "\"bfloat16\"}",
     "{\"rope_scaling\": null, \"rope_theta\": 500000.0, \"torch_dtype\": \"bfloat16\"}"},
    /* transformers 5, llama3, and its transformers 4 twin */
    {"{\"rope_parameters\": {\"factor\": 8.0, \"high_freq_factor\": 4.0, \"low_freq_factor\": 1.0, "
     "\"original_max_position_embeddings\": 8192, \"rope_theta\": 500000.0, \"rope_type\": "
     "\"llama3\"}}",
     "{\"rope_scaling\": {\"factor\": 8.0, \"high_freq_factor\": 4.0, \"low_freq_factor\": 1.0, "
     "\"original_max_position_embeddings\": 8192, \"rope_type\": \"llama3\"}, \"rope_theta\": "
     "500000.0}"},
    {"{\"rope_theta\": 500000.0, \"rope_scaling\": {\"factor\": 8.0, \"high_freq_factor\": 4.0, "
     "\"low_freq_factor\": 1.0, \"original_max_position_embeddings\": 8192, \"rope_type\": "
     "\"llama3\"}}",
     "{\"rope_scaling\": {\"factor\": 8.0, \"high_freq_factor\": 4.0, \"low_freq_factor\": 1.0, "
     "\"original_max_position_embeddings\": 8192, \"rope_type\": \"llama3\"}, \"rope_theta\": "
     "500000.0}"},
    /* old "type"; rope_type wins over it; default is none */
    {"{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}}",
     "{\"rope_scaling\": {\"factor\": 2, \"rope_type\": \"linear\"}}"},
    {"{\"rope_scaling\": {\"type\": \"linear\", \"rope_type\": \"yarn\", \"factor\": 2}}",
     "{\"rope_scaling\": {\"factor\": 2, \"rope_type\": \"yarn\"}}"},
    {"{\"rope_scaling\": {\"type\": \"default\", \"mrope_section\": [16]}}",
     "{\"rope_scaling\": null}"},
    /* a length beside it counts, where transformers reads one */
    {"{\"original_max_position_embeddings\": 8, \"rope_scaling\": {\"type\": \"longrope\"}}",
     "{\"original_max_position_embeddings\": 8, \"rope_scaling\": "
     "{\"original_max_position_embeddings\": 8, \"rope_type\": \"longrope\"}}"},
    {"{\"original_max_position_embeddings\": 8, \"rope_scaling\": {\"type\": \"dynamic\"}}",
     "{\"original_max_position_embeddings\": 8, \"rope_scaling\": "
     "{\"rope_type\": \"dynamic\"}}"},
    {"{\"rope_scaling\": null}", "{\"rope_scaling\": null}"},
    {"{\"rope_scaling\": {}, \"rope_theta\": 5.0}",
     "{\"rope_scaling\": null, \"rope_theta\": 5.0}"},
    /* the set's own theta wins over the one beside it; a null set says nothing */
    {"{\"rope_theta\": 1.0, \"rope_parameters\": {\"rope_theta\": 2.0, "
     "\"partial_rotary_factor\": 0.5}}",
     "{\"partial_rotary_factor\": 0.5, \"rope_scaling\": null, \"rope_theta\": 2.0}"},
    {"{\"rope_theta\": 1.0, \"rope_parameters\": null}", "{\"rope_theta\": 1.0}"},
    {"{\"torch_dtype\": \"float16\"}", "{\"torch_dtype\": \"float16\"}"},
    {"{\"torch_dtype\": \"float16\", \"dtype\": \"float32\"}", "{\"torch_dtype\": \"float32\"}"},
    {"{\"torch_dtype\": \"float16\", \"dtype\": null}", "{\"torch_dtype\": \"float16\"}"},
};

static void one_spelling(void **state) {
    (void)state;
    hora_str got = {0};
    for (size_t i = 0; i < HORA_COUNT(spellings); i++) {
        assert_ok(normalize(spellings[i].file, &got));
        assert_string_equal(got.s, spellings[i].becomes);
    }
    hora_str_release(&got);
}

static void refuses(void **state) {
    (void)state;
    hora_str got = {0};
    assert_fails(normalize("[]", &got), HORA_EFORMAT, "object");
    assert_fails(normalize("{\"rope_scaling\": 2}", &got), HORA_EFORMAT, "object");
    assert_fails(normalize("{\"rope_scaling\": {\"type\": 2}}", &got), HORA_EFORMAT, "type");
    assert_fails(normalize("{\"rope_parameters\": {\"other\": {\"rope_theta\": 1.0}}}", &got),
                 HORA_EUNSUPPORTED, "other");
    hora_str_release(&got);
}

static void put(const char *name, const char *text) {
    char *path = hora_path_join(hora_test_tmp(), name);
    assert_ok(hora_file_write(path, text, strlen(text)));
    hora_free(path);
}

static void loads_folder_or_file(void **state) {
    (void)state;
    hora_json *c;
    assert_fails(hora_hf_config_load(&c, hora_test_tmp()), HORA_ENOTFOUND, "config.json");
    put("config.json", "{\"dtype\": \"float32\"}");
    assert_ok(hora_hf_config_load(&c, hora_test_tmp()));
    assert_string_equal(hora_json_string(hora_json_get(c, "torch_dtype"), NULL), "float32");
    hora_json_free(c);
    put("other.json", "{\"a\": 1, \"a\": 2}");
    char *path = hora_path_join(hora_test_tmp(), "other.json");
    assert_fails(hora_hf_config_load(&c, path), HORA_EFORMAT, "other.json");
    put("other.json", "3");
    assert_fails(hora_hf_config_load(&c, path), HORA_EFORMAT, "other.json");
    hora_free(path);
}

static void stop_tokens(void **state) {
    (void)state;
    int32_t ids[3];
    int n = -1;
    assert_ok(hora_hf_eos_ids(hora_test_tmp(), ids, 3, &n));
    assert_int_equal(n, 0);
    put("config.json", "{\"eos_token_id\": 2}");
    assert_ok(hora_hf_eos_ids(hora_test_tmp(), ids, 3, &n));
    assert_int_equal(n, 1);
    assert_int_equal(ids[0], 2);
    put("generation_config.json", "{\"bos_token_id\": 1}"); /* says nothing: config.json's */
    assert_ok(hora_hf_eos_ids(hora_test_tmp(), ids, 3, &n));
    assert_int_equal(n, 1);
    put("generation_config.json", "{\"eos_token_id\": [128001, 128008, 128009]}");
    assert_ok(hora_hf_eos_ids(hora_test_tmp(), ids, 3, &n));
    assert_int_equal(n, 3);
    assert_int_equal(ids[2], 128009);
    assert_fails(hora_hf_eos_ids(hora_test_tmp(), ids, 2, &n), HORA_EUNSUPPORTED, "more than 2");
    static const char *const wrong[] = {"-1", "[2.5]", "\"</s>\"", "4294967296", "[[2]]", "true"};
    for (size_t i = 0; i < HORA_COUNT(wrong); i++) {
        char text[64];
        snprintf(text, sizeof text, "{\"eos_token_id\": %s}", wrong[i]);
        put("generation_config.json", text);
        assert_fails(hora_hf_eos_ids(hora_test_tmp(), ids, 3, &n), HORA_EFORMAT,
                     "generation_config.json");
    }
}

static void real_files(void **state) {
    (void)state;
    hora_json *c;
    int32_t ids[4];
    int n;
    const char *dir = hora_test_shared("models/stories260k");
    assert_ok(hora_hf_config_load(&c, dir));
    assert_string_equal(hora_json_string(hora_json_get(c, "model_type"), NULL), "llama");
    assert_null(hora_json_get(c, "rope_parameters"));
    assert_null(hora_json_get(c, "dtype"));
    hora_json_free(c);
    assert_ok(hora_hf_eos_ids(dir, ids, 4, &n));
    assert_int_equal(n, 1);
    assert_int_equal(ids[0], 2);
}

HORA_TESTS(unit_hf_config, {"one spelling", one_spelling, HORA_SHORT},
           {"refuses", refuses, HORA_SHORT},
           {"loads a folder or a file", loads_folder_or_file, HORA_SHORT},
           {"stop tokens", stop_tokens, HORA_SHORT}, {"real files", real_files, HORA_SHORT});
