/* Internationalised host names: libidn2 for IDNA 2008, and the rules for characters that depend on their
 * neighbours (RFC 5892, appendix A) and on the direction of writing (RFC 5893), which its look-up leaves out.
 */
#include "common/jsonschema/format.h"

#include <idn2.h>
#include <string.h>

#define NAME_MAX_BYTES 1024
#define LABEL_CHARS    256

struct range {
    uint32_t from, to;
};

static const struct range greek[] = {{0x370, 0x374}, {0x376, 0x3FF}, {0x1F00, 0x1FFF}};
static const struct range hebrew[] = {{0x591, 0x5F4}, {0xFB1D, 0xFB4F}};
static const struct range kana_or_han[] = {{0x3005, 0x3007},   {0x3041, 0x309F},  {0x30A1, 0x30FA},
                                           {0x30FD, 0x30FF},   {0x31F0, 0x31FF},  {0x3400, 0x4DBF},
                                           {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},  {0xFF66, 0xFF9D},
                                           {0x1B000, 0x1B16F}, {0x20000, 0x3FFFF}};
static const struct range right_to_left[] = {{0x590, 0x65F},    {0x66A, 0x6EF},   {0x6FA, 0x8FF},
                                             {0xFB1D, 0xFDFF},  {0xFE70, 0xFEFF}, {0x10800, 0x10FFF},
                                             {0x1E800, 0x1EFFF}};
static const struct range arabic_digits[] = {{0x660, 0x669}};
static const struct range extended_digits[] = {{0x6F0, 0x6F9}};
static const struct range european_digits[] = {{'0', '9'}, {0x6F0, 0x6F9}};

static bool within(uint32_t c, const struct range *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (c >= list[i].from && c <= list[i].to)
            return true;
    return false;
}
#define IN(c, list) within(c, list, sizeof(list) / sizeof(list)[0])

static bool any(const uint32_t *label, size_t n, const struct range *list, size_t count)
{
    for (size_t i = 0; i < n; i++)
        if (within(label[i], list, count))
            return true;
    return false;
}
#define ANY(label, n, list) any(label, n, list, sizeof(list) / sizeof(list)[0])

static bool neighbours_ok(const uint32_t *label, size_t n, size_t i)
{
    uint32_t before = i ? label[i - 1] : 0, after = i + 1 < n ? label[i + 1] : 0;
    if (label[i] == 0xB7)
        return before == 'l' && after == 'l';
    if (label[i] == 0x375)
        return IN(after, greek);
    if (label[i] == 0x5F3 || label[i] == 0x5F4)
        return IN(before, hebrew);
    return label[i] != 0x30FB || ANY(label, n, kana_or_han);
}

static bool label_ok(const uint32_t *label, size_t n, bool bidi)
{
    if (!n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!neighbours_ok(label, n, i))
            return false;
    if (ANY(label, n, arabic_digits) && ANY(label, n, extended_digits))
        return false;
    if (!bidi)
        return true;
    if (IN(label[0], european_digits) || IN(label[0], arabic_digits))
        return false;
    return !(IN(label[0], right_to_left) && ANY(label, n, european_digits) && ANY(label, n, arabic_digits));
}

static uint32_t decode(const char **p)
{
    uint32_t c = (uint8_t) * (*p)++;
    int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC0 ? 1 : 0;
    if (more)
        c &= 0x3Fu >> more;
    for (; more && **p; more--)
        c = c << 6 | ((uint8_t) * (*p)++ & 63u);
    return c;
}

static bool has_right_to_left(const char *name)
{
    while (*name)
        if (IN(decode(&name), right_to_left))
            return true;
    return false;
}

static bool labels_ok(const char *name)
{
    uint32_t label[LABEL_CHARS];
    size_t n = 0;
    bool bidi = has_right_to_left(name);
    for (;;) {
        uint32_t c = *name ? decode(&name) : 0;
        if (c && c != '.') {
            if (n == LABEL_CHARS)
                return false;
            label[n++] = c;
            continue;
        }
        if (!label_ok(label, n, bidi))
            return false;
        if (!c)
            return true;
        n = 0;
    }
}

/* The full stops of East Asian writing separate labels too (RFC 3490, section 3.1). */
static bool with_plain_dots(const char *s, size_t n, char *out)
{
    static const char *const dots[] = {"\xE3\x80\x82", "\xEF\xBC\x8E", "\xEF\xBD\xA1"};
    size_t to = 0;
    if (n >= NAME_MAX_BYTES || memchr(s, 0, n))
        return false;
    for (size_t i = 0; i < n;) {
        bool dot = false;
        for (size_t k = 0; k < 3 && n - i >= 3; k++)
            dot = dot || memcmp(s + i, dots[k], 3) == 0;
        out[to++] = dot ? '.' : s[i];
        i += dot ? 3 : 1;
    }
    out[to] = '\0';
    return true;
}

bool js_idn_ok(const char *s, size_t n)
{
    char name[NAME_MAX_BYTES], *unicode = NULL;
    uint8_t *ascii = NULL, *again = NULL;
    const int flags = IDN2_NFC_INPUT | IDN2_NO_TR46 | IDN2_USE_STD3_ASCII_RULES;
    if (!with_plain_dots(s, n, name))
        return false;
    bool ok = idn2_lookup_u8((const uint8_t *)name, &ascii, flags) == IDN2_OK &&
              idn2_to_unicode_8z8z((const char *)ascii, &unicode, 0) == IDN2_OK &&
              idn2_lookup_u8((const uint8_t *)unicode, &again, flags) == IDN2_OK && labels_ok(unicode);
    idn2_free(again);
    idn2_free(unicode);
    idn2_free(ascii);
    return ok;
}

bool js_format_idn_hostname(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((uint8_t)s[i] >= 0x80)
            return js_idn_ok(s, n);
    return js_format_hostname(s, n);
}
