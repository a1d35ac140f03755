// The one piece of C++: the first stage of simdjson (where tokens begin, whether the text is UTF-8), behind C.
// Its second stage is not used, because it refuses integers beyond 64 bits and copies every string.
#include <simdjson.h>

#include <memory>
#include <new>

extern "C" {
struct js_index {
    std::unique_ptr<simdjson::internal::dom_parser_implementation> impl;
    size_t capacity;
};

js_index *js_index_new(void)
{
    return new (std::nothrow) js_index{nullptr, 0};
}

void js_index_free(js_index *ix)
{
    delete ix;
}

// The numbers are pb_err's; common/err.h is C and not included here.
enum { OK = 0, E_MEMORY = 1, E_INVALID = 2 };

static int grow(js_index *ix, size_t len)
{
    size_t capacity = ix->capacity < 4096 ? 4096 : ix->capacity;
    while (capacity < len)
        capacity *= 2;
    const simdjson::implementation *cpu = simdjson::get_active_implementation();
    std::unique_ptr<simdjson::internal::dom_parser_implementation> fresh;
    if (cpu->create_dom_parser_implementation(capacity, 1, fresh) != simdjson::SUCCESS)
        return E_MEMORY;
    ix->impl = std::move(fresh);
    ix->capacity = capacity;
    return OK;
}

int js_index_scan(js_index *ix, const char *text, size_t len, const uint32_t **at, uint32_t *count)
{
    if (!ix->impl || ix->capacity < len) {
        int err = grow(ix, len);
        if (err)
            return err;
    }
    const uint8_t *bytes = reinterpret_cast<const uint8_t *>(text);
    if (ix->impl->stage1(bytes, len, simdjson::stage1_mode::regular) != simdjson::SUCCESS)
        return E_INVALID;
    uint32_t *found = ix->impl->structural_indexes.get(), n = ix->impl->n_structural_indexes;
    found[n] = found[n + 1] = static_cast<uint32_t>(len); // simdjson leaves room for more than these
    *at = found;
    *count = n;
    return OK;
}
}
