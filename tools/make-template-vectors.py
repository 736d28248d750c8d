"""Small template cases: what Jinja 3.1.6 makes of each feature that src/template has.

    python3 tools/make-template-vectors.py > tests/vectors/template/features.jsonl

Offline tool, needed only when a feature is added. A line holds `template` and `vars`, then `rendered` or `error`
(the text of raise_exception, or "" when Jinja or Python fails). Settings as in transformers' apply_chat_template;
the date of strftime_now is that of the tests.
"""
import datetime
import json
import sys

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    """Transparent {% generation %}, as in transformers."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

    @jinja2.pass_eval_context
    def _same(self, context, caller):
        return caller()


class Refused(Exception):
    pass


def raise_exception(message):
    raise Refused(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


ENV = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", Generation])
ENV.filters["tojson"] = tojson
ENV.globals["raise_exception"] = raise_exception
ENV.globals["strftime_now"] = datetime.datetime(2026, 1, 31, 18, 5, 9).strftime

VARS = {
    "s": "Hello", "e": "", "n": None, "t": True, "f": False, "i": 7, "r": 2.5, "l": [3, 1, 2], "el": [],
    "d": {"b": 1, "a": "x", "items": "key", "C": [1, {"k": None}]}, "u": "h\u00e9 \u4f60\U0001f600", "w": " \t\u00a0pad\u3000\n",
    "m": [{"role": "user", "content": "one", "n": 2}, {"role": "assistant", "content": "two", "n": 1}, {"role": "User", "content": None}],
    "q": "it's \"q\" \\ \n\t\x01\u2028\u200b", "text": "a\nb\n\nc\n", "words": "The quick-brown fox(jumps) over",
    "deep": {"a": {"b": [{"c": 5}]}}, "nums": [1, 2.0, True, None, "z"], "big": 9007199254740993, "huge": 123456789012345678901234567890, "odd name": 1,
}

EXPR = r"""
s ~ i ~ r ~ n ~ t ~ x
s + i
s + n
i + t
i + r
l + [9]
(1, 2) + (3,)
s * 3
3 * l
s * -1
i / 2
i // 2
-i // 2
-i % 3
i % -3
7.5 % 2
-7.5 // 2
2 ** 10
2 ** -1
2 ** 0.5
-2 ** 2
i / 0
1 == 1.0
t == 1
'1' == 1
s != e
[1, 2] == [1, 2.0]
{'a': 1} == {'a': 1.0}
x == y
x == n
1 < 2 < 3
3 > 2 > 2
'a' < 'b'
'a' < 1
[1, 2] < [1, 3]
n < 1
1 <= i >= 7
not t or f
not (t and n)
t and s
f or e or 'last'
n or x
'a' if f
('a' if f) ~ '!'
'a' if f else 'b' if n else 'c'
'ell' in s
'' in s
i in l
3 in l
'a' in d
'zz' not in d
n in [n]
1 in 'abc'
s in x
s in n
s[0] ~ s[-1]
s[9]
u[1] ~ u[-1]
u | length
u[::-1]
s[1:3]
s[:-1]
s[::2]
s[10:]
l[::-1]
l[5:0:-2]
l[-2:]
l[0:2] ~ l[1]
l['a']
l[n]
n[1:]
d.a
d['a']
d.items
d.items()
d['items']
d.zz
d.zz.y
x.y
x['y']
n.y
i.y
s.y
d.b ~ d.C[1].k
deep.a.b[0].c
deep.a.b.0.c
m[0].role
m[-1]['content']
(m | first).role
l | first
el | first
el | last
x | first
s | last
l | length
d | length
n | length
x | length
l | sort
l | sort(reverse=true)
['b', 'A', 'c'] | sort
['b', 'A', 'c'] | sort(case_sensitive=true)
m | sort(attribute='n') | map(attribute='content') | list
m[:2] | sort(attribute='n') | map(attribute='content') | list
nums | sort
l | reverse | list
s | reverse
d | list
s | list
n | list
x | list
d | items | list
d | dictsort
{'b': 2, 'a': 3} | dictsort(by='value')
{'b': 2, 'a': 3} | dictsort(reverse=true)
d.keys() | list
d.values() | list
d.get('a') ~ d.get('q') ~ d.get('q', 5)
[1, 1.0, 'a', 'A', true] | unique | list
['a', 'A'] | unique(case_sensitive=true) | list
l | join
l | join(', ')
m | join('-', attribute='role')
x | join('a')
s | join('.')
l | sum
l | min
l | max
el | max
m[:2] | sum(attribute='n')
m | map(attribute='role') | join('/')
m | map(attribute='zz', default='-') | join
m | map(attribute='role') | map('upper') | list
l | map('string') | join('+')
m | selectattr('role', 'equalto', 'user') | list | length
m | selectattr('content') | map(attribute='content') | list
m | rejectattr('content', 'none') | map(attribute='role') | list
m | selectattr('n', 'defined') | list | length
m | selectattr('n', '>', 1) | list
[0, 1, 2, ''] | select | list
[1, 2, 3] | select('odd') | list
[1, 2, 3] | reject('divisibleby', 2) | list
l | select
(el | select) and 'truthy'
l | select | length
l | map('string') | first
w | trim ~ '|'
s | trim('Ho')
n | trim
w.strip() ~ '|' ~ w.lstrip() ~ '|' ~ w.rstrip()
s.strip('olH')
s | upper ~ s | lower
'hELLO wORLD' | capitalize
words | title
words.title()
s.upper() + s.lower()
words.split()
words.split(' ', 1)
'a,b,,c'.split(',')
'a,b,,c'.split(',', 2)
'a,b'.split('')
'  a  b '.split()
'  a  b '.split(none, 1)
text.splitlines()
text.splitlines(true)
s.startswith('He') ~ s.endswith('x') ~ s.startswith(('a', 'H'))
s.startswith(1)
s.replace('l', 'L') ~ s.replace('l', 'L', 1) ~ s.replace('', '-')
s | replace('l', 'L') ~ s | replace('l', 'L', 1)
i | replace('7', '8')
s.find('l') ~ s.rfind('l') ~ s.find('zz') ~ u.find('x')
s.count('l') ~ s.count('')
l.index(2) ~ l.count(1)
l.index(99)
'-'.join(['a', 'b'])
'-'.join([1])
'12'.isdigit() ~ ''.isdigit() ~ '1a'.isdigit()
s.removeprefix('He') ~ s.removesuffix('lo')
text | indent
text | indent(2, true)
text | indent(width=1, first=true, blank=true)
text | indent('> ')
s | string ~ i | string
x | default('d') ~ n | default('d') ~ e | default('d', true) ~ s | default('d')
x | d('q')
x.y | default('d')
i | float ~ '3' | int ~ '3.9' | int ~ 'zz' | int ~ 'zz' | int(5) ~ r | int ~ ' 4 ' | int
x | int
n | int
'2.50' | float ~ 'q' | float(1.5)
-3 | abs
(-3) | abs ~ (-2.5) | abs
2.5 | round ~ 3.5 | round ~ 2.675 | round(2) ~ 42 | round
2.1 | round(method='ceil') ~ 2.9 | round(0, 'floor')
r ~ 1.0 ~ 1e16 ~ 1e15 ~ 0.0001 ~ 0.00001 ~ 123456789.125 ~ 1e-7 ~ 1.5e300 ~ 0.1 ~ 100.0
0.1 + 0.2
1 / 3
d
l ~ (1,) ~ () ~ (1, 2) ~ {} ~ []
[q, u, w, n, t, r]
nums
q | tojson
d | tojson
u | tojson
u | tojson(ensure_ascii=true)
d | tojson(indent=2)
{'b': [], 'a': {}} | tojson(indent=1)
d | tojson(sort_keys=true)
{'b': 1, 'a': 2, 'B': 0} | tojson(sort_keys=true)
d | tojson(separators=(',', ':'))
[1.0, 1e20, 1e-9, none, true] | tojson
{1: 2, none: 3, true: 4, 'k': 5} | tojson
x | tojson
(1, 2) | tojson
s | safe
d | tojson | safe
s is defined ~ x is defined ~ x is not defined ~ x is undefined ~ n is defined
n is none ~ x is none ~ s is none
s is string ~ i is string ~ x is string
i is number ~ r is number ~ t is number ~ s is number
i is integer ~ t is integer ~ r is float ~ t is boolean
t is true ~ 1 is true ~ f is false ~ e is false
d is mapping ~ l is mapping
l is iterable ~ s is iterable ~ i is iterable ~ x is iterable ~ d is iterable ~ n is iterable
l is sequence ~ s is sequence ~ i is sequence ~ d is sequence
i is odd ~ i is even ~ i is divisibleby 7 ~ i is divisibleby(2)
s is odd
i is eq 7 ~ i is equalto(7) ~ i is ne 7 ~ i is gt 3 ~ i is lt(3) ~ i is ge 7 ~ i is le 7
i is in [7] ~ 3 is in l ~ 3 is not in l
n is sameas none ~ t is sameas true
'abc' is lower ~ 'ABC' is upper ~ 'aBC' is lower ~ '1' is lower
raise_exception is callable ~ s is callable
s is string and i is number
not s is string
range(3) | list ~ range(1, 4) | list ~ range(5, 0, -2) | list
range(0) | list
range(1, 2, 0)
dict(a=1, b=s)
namespace(a=1).a
{'a': 1, 'a': 2}
{'k': {'z': [1]}}['k'].z[0]
'con' 'cat' "enated"
"esc \" \' \\ \n \t \x41 \u00e9 \101 \q"
1 if 0.0 else 2
+i ~ -r ~ - - i
-0.0
s | upper | lower | length
s|length+1
2 * s|length
(s ~ 'x') | length
s | unknown_filter
s is unknown_test
s.unknown_method()
unknown_function()
1_000
0x10
[1, 2,]
{'a': 1,}
(1)
(1,)
1, 2
a.b = 1
s[
s(
}
'unclosed
s | join('a'
%
@
loop
big + 1
9223372036854775807 + 0
strftime_now is defined
s.format(1)
s % 1
caller
true ~ True ~ none ~ None ~ false
m[0].keys() | list
"{{ not a tag }} {% nor this %}"
n | selectattr('a') | list
n | rejectattr('a', 'equalto', 1) | list
n | map('upper') | list
e | select | list | length
f | map(attribute='a') | list
i | map('upper') | list
n | list
n | join
n | length
n | first
huge
huge | tojson
-huge
huge + 1
huge == huge
huge > 5
huge is integer
huge is number
huge ~ ''
huge | string | length
[huge, -12345678901234567890123] | tojson
'12345678901234567890123' | int
' -00012345678901234567890123 ' | int
'12x' | int
huge | int
huge | abs
123456789012345678901234567890
1_000_000 + 1
s | safe ~ '<'
(s | safe) + '<'
'<' + (s | safe)
'<&>\"' ~ (s | safe)
('<' | safe) + ('>' | safe) + '&'
[s | safe]
(s | safe) * 2
(s | safe) | upper | lower
(s | safe) | replace('l', '<')
((s | safe) | replace('l', '<')) + '>'
((s | safe) | trim) + '>'
((s | safe) | title) + '>'
((s | safe) | capitalize) + '>'
((s | safe) | string) + '>'
((s | safe) | indent) + '>'
([s | safe, '<'] | join(',')) + '>'
(s | safe).strip() + '>'
(s | safe)[1:] == 'ello'
(s | safe) is escaped
(s | safe) is string
(s | safe) | tojson
'<a href=\"x\">' | escape
'<' | e ~ '<'
('<' | e) + '<'
('<' | e) | forceescape
('<' | safe) | e
'%s: %d' % (s, 3)
'%s' % s
'%5s|%-5s|%05d|%+d|%.2f|%5.1f|%x|%%' % ('a', 'b', 42, 7, 2.345, r, 255)
'%(a)s-%(b)s' % {'a': 1, 'b': 'x'}
'%s %s' % (s,)
'%s' % (1, 2)
'%d' % 'x'
'%r' % s
'%s' % none
'%s' % l
'%s' | format(s)
'%s %s' | format(1, 2)
'%(k)s' | format(k=s)
'{} {}'.format(s, i)
'{0}{1}{0}'.format(s, i)
'{a}-{b}'.format(a=1, b='x')
'{{}} {}'.format(s)
'{}'.format()
'{:>10}|{:<10}|{:^10}|'.format(s, s, s)
'{:*^11}|{:\u4f60>8}|'.format(s, 'ab')
'{:10}|{:10}|{:10}|'.format(s, i, r)
'{:05d}|{:+d}|{: d}|{:<5}|'.format(i, i, i, i)
'{:05}|{:=+6}|{:x<6}|'.format(-7, 42, i)
'{:,}|{:_}|{:,}|{:,.2f}'.format(1234567, 1234567, big, 1234567.891)
'{:x}|{:X}|{:#x}|{:o}|{:b}|{:#b}|{:_x}'.format(255, 255, 255, 8, 5, 5, 1048575)
'{:.2f}|{:.0f}|{:8.3f}|{:<8.1f}|{:+.1e}'.format(r, r, r, r, r)
'{:.3}|{:.1}|{:g}|{:.3g}|{:G}'.format(2.5, 1234.5, 1e20, 0.00001234, 1e-10)
'{:.1%}|{:%}|{:5.0%}|'.format(0.256, 1, 0.5)
'{:.2}|{:>4.1}|'.format(s, s)
'{!r:>9}|{!s:<6}|{!r}'.format(s, i, q)
'{:>6}|{}|{:d}'.format(t, t, t)
'{:c}{:c}'.format(65, 128512)
'{a.b} {d[b]} {0[1]} {1.role} {1[content]}'.format(l, m[0], a=d, d=d)
'{0[C][1][k]}'.format(d)
'{:{}}'.format(s, 10)
'{:10}'.format(n)
'{:>10}'.format(l)
'{!r:>12}|{!s}|'.format(l, n)
'{:d}'.format(r)
'{:d}'.format(s)
'{:=5}'.format(s)
'{:,}'.format(s)
'{:.2}'.format(i)
'{:s}'.format(i)
'{:s}'.format(s)
'{x}'.format(y=1)
'{1}'.format(1)
'{0} {}'.format(1, 2)
'{:,}'.format(huge)
'{:>40}'.format(huge)
'{:.1f}'.format(big)
'{:06.2f}|{:+07d}|{:<06d}|'.format(-r, i, i)
'{:f}|{:e}|{:n}'.format(i, i, i)
'{:010,}'.format(i)
'{:>3}|{:<3}|{:^4}|'.format(s, s, 'abc')
'{:*<8}|{:0>3}|{:0<3}|'.format(s, i, i)
'%5.1f|%-8s|%08.3f|%+d|% d|%x|%X|%#x|%o|%#o' % (r, s, r, i, i, 255, 255, 255, 8, 8)
'%.2s|%5.1s|%e|%g|%G|%c%c|%.3d|%i|%u' % (s, s, r, 1e20, 1e-10, 65, 'z', 5, 9, 9)
'%s' % n
'%5s|%-5s|%05s' % (t, l, s)
'%(a)s %(b)05d' % d
'%r' % q
'%d' % 2.9
'%d' % s
'%x' % 2.5
'%.2f' % i
'a/b/c'.rsplit('/', 1)
'a/b/c'.rsplit('/')
' a b  c '.rsplit(none, 1)
' a b  c '.rsplit()
'a=b=c'.partition('=')
'a=b=c'.rpartition('=')
'abc'.partition('=')
'abc'.rpartition('=')
'abcb'.index('b')
'abcb'.rindex('b')
'abc'.index('z')
'7'.zfill(3)
'-7'.zfill(4)
'ab'.ljust(5) ~ '|'
'ab'.rjust(5, '*')
'ab'.center(5)
'ab' | center(7) ~ '|'
'aB1'.swapcase()
'abc'.isalpha()
'a1'.isalnum()
' '.isspace()
''.isalpha()
'12'.isdecimal()
'12'.isnumeric()
'AB'.isupper()
'ab1'.islower()
'Ab'.islower()
u.isalpha()
u.upper()
'éßœж' | upper
'ÉŒЖİ' | lower
'éCOLE été' | capitalize
'école-été (à)' | title
'école éTé'.title()
'ﬁx'.capitalize()
'ǆ' | upper
'你好'.upper()
'É' is upper
'é' is lower
['É', 'è', 'f'] | sort
d.copy() | tojson
d.copy().b
dict(d, z=1) | tojson
dict(d, **{'b': 2}) | tojson
dict(**{'x': 1}) | tojson
dict([('a', 1)])
namespace(**{'z': 3}).z
namespace(d).b
[*l]
range(*[1, 4]) | list
m | groupby('role') | length
(m | groupby('role') | list)[0][0]
m | sort(attribute='n,role') | map(attribute='role') | join(' ')
l | batch(2) | list
l | batch(2, 0) | list
range(7) | slice(3) | list
m | map('attr', 'role') | list
m | map('tojson', ensure_ascii=true) | join
m | map(attribute='role') | map('replace', 'user', 'U') | list
m | map('default', 1) | list | length
'a b, c' | wordcount
'upper' is filter
'nope' is filter
'even' is test
strftime_now('%d %b %Y')
strftime_now('%Y-%m-%dT%H:%M:%S')
strftime_now('%A, %B %d, %Y %I:%M %p %j %y %a')
strftime_now('')
strftime_now('100%% %%d')
strftime_now('%-d %e')
strftime_now is defined
strftime_now() is defined
s.encode('x') if f else 'fine'
s.nosuch() if f else 'fine'
(s | nosuch) if f else 'fine'
(s is nosuch) if f else 'fine'
nosuch(1) if f else 'fine'
nosuch(1) if t else 'fine'
(s | nosuch) if t else 'fine'
""".strip("\n").split("\n")

TEMPLATES = [
    "plain {{ s }} text\n", "a\n", "a\n\n", "\n", "", "a\r\nb\rc\n", "{{ s }}\n", "{{ s }}\n\nx", "{{ s -}}\n  x", "x \n {{- s }}", "x  {{ s }}", "{{ s }} {{- s -}} {{ s }}",
    "  {% if t %}\n  yes\n  {% endif %}\nend", "a {% if t %} b {% endif %} c", "a\n\t{%+ if t %}x{% endif +%}\nb", "{% if t -%}\n\n  x  \n{%- endif %}\ny", "  {%- if t -%}  x  {%- endif -%}  ",
    "{# c #}\nx", "  {# c #}\nx", "a {#- c -#} b", "a\n  {#+ c +#}\nb", "{#- a\nb -#}\n\nx", "{##}x", "{#-#}x", "{# #", "{#}", "a{#b#}c", "{% if t %}{# x #}{% endif %}",
    "\u00a0 {%- if t %}x{% endif %}", "\u00a0{% if t %}x{% endif %}", "x\n \u3000{% if t %}y{% endif %}",
    "{% if f %}a{% elif n %}b{% elif t %}c{% else %}d{% endif %}", "{% if f %}a{% else %}b{% endif %}", "{% if x %}a{% endif %}|", "{% if %}", "{% if t %}", "{% endif %}", "{% else %}", "{% if t %}a{% else %}b{% else %}c{% endif %}",
    "{% for a in l %}{{ a }},{% endfor %}", "{% for a in l if a > 1 %}{{ loop.index }}:{{ a }}/{{ loop.length }}{{ loop.last }} {% endfor %}", "{% for a in el %}x{% else %}none{% endfor %}", "{% for a in l if a > 9 %}x{% else %}none{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}", "{% for c in u %}[{{ c }}]{% endfor %}", "{% for a in x %}x{% endfor %}.", "{% for a in n %}x{% endfor %}", "{% for a in i %}x{% endfor %}", "{% for (k, v) in d | dictsort %}{{ k }}{{ v }}{% endfor %}",
    "{% for k, v in l %}{% endfor %}", "{% for a in [[1, 2], [3, 4]] %}{% for b in a %}{{ loop.index }}{{ b }} {% endfor %}{{ loop.index0 }}|{% endfor %}",
    "{% for a in l %}{{ loop.index }} {{ loop.index0 }} {{ loop.revindex }} {{ loop.revindex0 }} {{ loop.first }} {{ loop.last }} {{ loop.length }} {{ loop.depth }} {{ loop.depth0 }} {{ loop.previtem }} {{ loop.nextitem }};{% endfor %}",
    "{% for a in l %}{{ loop.cycle('x', 'y') }}{{ loop.changed(a > 1) }}{% endfor %}", "{% for a in l %}{{ loop.nope }}{% endfor %}", "{% for a in l %}{% endfor %}{{ a }}{{ loop }}",
    "{% for a in l %}{% if a == 1 %}{% continue %}{% endif %}{{ a }}{% endfor %}", "{% for a in l %}{% if a == 1 %}{% break %}{% endif %}{{ a }}{% else %}e{% endfor %}", "{% break %}", "{% for a in range(3) %}{% for b in range(3) %}{% if b == a %}{% break %}{% endif %}{{ a }}{{ b }} {% endfor %}{% endfor %}",
    "{% for a in l recursive %}{{ a }}{% endfor %}", "{% for a in l %}{% set z = a %}{% endfor %}{{ z }}", "{% set z = 0 %}{% for a in l %}{% set z = z + a %}{{ z }}{% endfor %}{{ z }}", "{% set ns = namespace(z=0) %}{% for a in l %}{% set ns.z = ns.z + a %}{% endfor %}{{ ns.z }}",
    "{% set z = 1 %}{% if t %}{% set z = 2 %}{% endif %}{{ z }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a, b = l %}", "{% set a = 1, 2 %}{{ a }}", "{% set z %}\n  x {{ s }}\n{% endset %}[{{ z }}]", "{% set z %}{% set q2 = 1 %}{{ q2 }}{% endset %}{{ z }}{{ q2 }}", "{% set d.a = 1 %}", "{% set nope.a = 1 %}",
    "{% set s = s | upper %}{{ s }}", "{% set messages = m[1:] %}{% for x in messages %}{{ x.role }}{% endfor %}", "{% for i in l %}{{ i }}{% endfor %}{{ i }}", "{% set loop = 1 %}", "{% set true = 1 %}", "{% set ns = namespace() %}{{ ns.x is defined }}{% set ns.x = 1 %}{{ ns.x }}{{ ns['x'] }}",
    "{% macro f(a, b=2, c='z') %}<{{ a }}{{ b }}{{ c }}>{% endmacro %}{{ f(1) }}{{ f(1, c=3) }}{{ f(b=4, a=5) }}{{ f() }}", "{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", "{% macro f(a) %}{% endmacro %}{{ f(b=2) }}", "{% macro f(a) %}{% endmacro %}{{ f(1, a=2) }}", "{% macro f(a, b=a ~ '!') %}{{ b }}{% endmacro %}{{ f('x') }}",
    "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}", "{% macro f() %}{{ s }}{{ late }}{% endmacro %}{% set late = 'L' %}{{ f() }}", "{% macro f() %}{% set z = 1 %}{{ z }}{% endmacro %}{{ f() }}{{ z }}", "{{ f(1) }}{% macro f(a) %}{% endmacro %}", "{% for a in l %}{% macro g() %}{{ a }}{% endmacro %}{{ g() }}{% endfor %}",
    "{% macro f() %}\n  x\n{% endmacro %}[{{ f() }}]", "{% macro f() -%}\n  x\n{%- endmacro %}[{{ f() | trim }}]", "{% macro f(a, a) %}{% endmacro %}", "{% macro f(a=1, b) %}{% endmacro %}", "{% macro f(x) %}{{ x is defined }}{% endmacro %}{{ f() }}{{ f(1) }}{{ f(n) }}",
    "{{ raise_exception('stop: ' ~ s) }}", "{% if t %}{{ raise_exception('no ' + s) }}{% endif %}", "{{ raise_exception('a') if f else 'fine' }}", "{{ raise_exception() }}", "{% generation %}{{ s }}{% endgeneration %}x", "{% for a in l %}{% generation %}{% set zz = a %}{{ zz }}{{ loop.index }}{% endgeneration %}{{ zz }}{% endfor %}",
    "{% call f() %}x{% endcall %}", "{% filter upper %}x{% endfilter %}", "{% include 'x' %}", "{% extends 'x' %}", "{% block a %}{% endblock %}", "{% import 'x' as y %}", "{% do l.append(1) %}", "{{ l.append(1) }}", "{{ l.pop() }}", "{{ d.update({}) }}", "{{ s.__class__ }}", "{{ ''.__class__.__mro__ }}", "{% autoescape true %}{% endautoescape %}",
    "{% filter upper %}a{{ s }}{% endfilter %}b", "{% filter trim | upper %} a {% endfilter %}", "{% filter replace('a', 'b') %}aa{% endfilter %}", "{% filter nope %}{% endfilter %}", "{% set z | upper | trim %} a {{ s }} {% endset %}[{{ z }}]",
    "{% macro b(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call b('x') %}in {{ s }}{% endcall %}", "{% macro each(l) %}{% for a in l %}{{ caller(a, loop.index) }},{% endfor %}{% endmacro %}{% call(a, n) each(l) %}{{ n }}:{{ a }}{% endcall %}", "{% macro o() %}{{ 'has' if caller is defined else 'no' }}{% endmacro %}{{ o() }}{% call o() %}{% endcall %}",
    "{% macro b() %}{{ caller() }}{% endmacro %}{% call b() %}{% call b() %}deep{% endcall %}{% endcall %}", "{% macro v(a) %}{{ a }}|{{ varargs }}|{{ kwargs }}{% endmacro %}{{ v(1, 2, 3, x=4) }}", "{% macro v() %}{{ varargs | length }}{% endmacro %}{{ v(*l) }}", "{% macro k() %}{{ kwargs.a }}{% endmacro %}{{ k(**{'a': 5}) }}", "{% macro f(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ f(*[1, 2]) }}{{ f(**{'b': 1, 'a': 2}) }}{{ f(1, **{'b': 3}) }}", "{% macro f(a) %}{% endmacro %}{{ f(1, **{'a': 2}) }}", "{% macro f(a) %}{% endmacro %}{{ f(**{'zz': 2}) }}",
    "{% with %}{% set z = 1 %}{{ z }}{% endwith %}{{ z }}", "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% set a = 5 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}",
    "a\n{% raw %}\n{{ s }} {% if %}\n{% endraw %}\nb", "x  {%- raw -%}  {{ a }}  {%- endraw -%}  y", "  {% raw %}{{ x }}{% endraw %}  ", "{% raw %}unclosed", "{% raw %}{% raw %}{% endraw %}",
    "{% if f %}{{ s | nosuch }}{% endif %}fine", "{% if f %}{{ s is nosuch }}{{ nosuch() }}{{ s.nosuch() }}{% endif %}fine", "{% if t %}{{ s | nosuch }}{% endif %}", "{% for a in m | groupby('role') %}{{ a.grouper }}:{{ a.list | length }} {% endfor %}", "{% for r, all in m | groupby('role') %}{{ r }}{{ all[0].n }} {% endfor %}",
    "{% for a in l %}{% filter upper %}x{{ loop.index }}{% endfilter %}{% endfor %}", "{% macro gen(x) %}{% generation %}{{ x }}{% endgeneration %}{% endmacro %}{{ gen(s) }}", "{% set z %}{% generation %}a{% endgeneration %}{% endset %}{{ z }}",
    "{{ '<' ~ s ~ '>' }}{{ '&' }}", "{{ s }}}", "{ {s} }", "{{{}}}", "{{ {'a': {'b': 1}}.a.b }}", "{{ }}", "{{ s s }}", "{{ 'a' 1 }}", "{% %}", "{%%}", "{{ s", "{% if t", "{{ (s }}", "{{ s) }}", "{{ [s} }}", "%} }} #}", "{%- set x = 1 -%} {{ x }} {%- set y = 2 %} {{ y }}",
    "{% for a in m %}\n{{ a.role }}: {{ a.content }}\n{% endfor %}\n", "{% for a in m -%}\n{{ a.role }}: {{ a.content }}\n{%- endfor %}\n", "{%- for a in m %}\n    {%- if a.content is string %}\n        {{- a.content | trim }}\n    {%- endif %}\n{%- endfor %}",
    "{% for a in m %}{% if not loop.first and a.role == 'assistant' %}{{ m[loop.index0 - 1].content }}{% endif %}{% endfor %}", "{{ m | selectattr('role', 'in', ['user', 'User']) | map(attribute='role') | list }}", "{% set g = m | map(attribute='role') %}{{ g | list }}",
    "{% if (m | selectattr('role', 'equalto', 'nobody')) %}generator{% endif %}", "{% if (m | selectattr('role', 'equalto', 'nobody') | list) %}x{% else %}empty{% endif %}", "{{ -1 | abs }}{{ -s | length }}", "{{ 1 - -1 }}", "{{-1}}", "{{ 1-1 }}", "{{+1}}", "{{ 'a'.upper() }}{{ 'b' . upper ( ) }}",
    "{% if 'a' in d and d.a is string and d['a']|length > 0 %}ok{% endif %}", "{% if x is defined and x is not none %}a{% else %}b{% endif %}", "{% if loop is defined %}a{% else %}b{% endif %}", "{{ x or 'default' }}", "{% if not x %}no x{% endif %}", "{{ n is none or n.y }}", "{{ deep['a']['b'][0]['c'] == 5 }}",
    "{% set a = [] %}{% for x in l %}{% set a = a + [x] %}{% endfor %}{{ a }}", "{% set ns = namespace(a=[]) %}{% for x in l %}{% set ns.a = ns.a + [x * 2] %}{% endfor %}{{ ns.a }}", "{%- macro show(v) -%}{%- if v is mapping -%}{ {%- for k, x in v.items() -%}{{ k }}:{{ show(x) }}{{ ',' if not loop.last }}{%- endfor -%} }{%- elif v is string -%}'{{ v }}'{%- elif v is iterable -%}[{%- for x in v -%}{{ show(x) }} {%- endfor -%}]{%- else -%}{{ v }}{%- endif -%}{%- endmacro -%}{{ show(d['C']) }}{{ show(deep) }}",
    "a\n  {{- '' }}\n  b", "x {{- '' -}} y", "{{ '\n' }}\n{{ '\\n' }}", "{{ \"a'b\" ~ 'c\"d' }}", "{{ 'tab\tliteral' }}", "{{ 'line\nbreak' }}", "{% if t %}\n\n\nx\n\n{% endif %}\n\ny", "{%- if t %}\n a\n{%- else %}\n b\n{%- endif %}\n", "\n\n{%- if t %}x{% endif -%}\n\n", "{% if t %} {%- endif %}x",
    "\t {% set a = 1 %}\n\t {{ a }}\n", "{{ s }}{% if t %}\n{% endif %}\nx", "{% if t %}x{% endif %}   \ny", "{% raw %}{{ s }}{% endraw %}", "{{ \u00e9 }}", "{{ s['\u00e9'] }}", "text \u00e9 \u4f60 {{ '\u00e9' }}",
]

# Filters that cut and wrap, over texts that show where words end.
WRAPPED = [
    "The quick-brown fox(jumps) over--and under a well-known e-mail-list, don't", "x--y --opt -- --- co-op-ed a-b 1-2 ab-1c -abc abc- a-b-c-d aa-bb--cc",
    "\u65e5\u672c\u8a9e \u30c6\u30ad\u30b9\u30c8 \u00e9-\u00e8 ab\u00e9-\u00e8cd \u00abq\u00bb \U0001f600-\U0001f600", "a\u00a0b \u3000x \u00a0 y", "www http://a.b/c-d/e wwwwwwwwwwwwwwwww  two  blanks",
    "one\ntwo\r\n\nthree \u2028four\x0bfive\x1csix ", "", "   ",
]
CUTTING = [
    "wordwrap(1)", "wordwrap(3)", "wordwrap(7)", "wordwrap(20)", "wordwrap", "wordwrap(5, false)", "wordwrap(6, true, '|')", "wordwrap(6, break_on_hyphens=false)", "wordwrap(4, false, '_', false)",
    "truncate(9)", "truncate(20, true)", "truncate(12, false, '\u2026', 0)", "truncate(3, leeway=2)", "truncate", "urlencode", "striptags",
]
MORE = r"""
s | wordwrap(0)
n | wordwrap(5)
i | wordwrap(5)
s | truncate(2)
s | truncate(9, leeway=-1)
x | truncate
n | truncate
{'a b': s, 'c/d': 3, 'e': n} | urlencode
[('a', 'b&c'), (1, n)] | urlencode
'a b/c?d=\u00e9~' | urlencode
i | urlencode
n | urlencode
x | urlencode
[1] | urlencode
'<p>One <b>two</b><!-- <i>no</i> --></p>  three &amp; &lt;4' | striptags
'a < b > c <' | striptags
'<<a>b>c' | striptags
'<!--<!--a-->b-->c' | striptags
'a <!-- b' | striptags
i | striptags
n | striptags
{'a': s, 'b': n, 'c': x, 'd': i} | xmlattr
{'a': '<"&>'} | xmlattr(false)
{} | xmlattr
{'a b': 1} | xmlattr
[] | xmlattr
[0, 1, 1.0, 2, 999, 1000, 1500, 123456, 10**9, 1e27, 2.5, -5] | map('filesizeformat') | join(' ')
[0, 1, 1023, 1024, 1536, 123456, 2**40, 1e27] | map('filesizeformat', true) | join(' ')
'1500' | filesizeformat
'x' | filesizeformat
n | filesizeformat
d | pprint
deep | pprint
s | pprint
q | pprint
nums | pprint
(1,) | pprint
n | pprint
cycler() if t else ''
""".strip("\n").split("\n")
STATEFUL = [
    "{% set c = cycler('a', 'b', 'c') %}{{ c.current }}{% for x in [1, 2, 3, 4] %}{{ c.next() }}{% endfor %}{{ c.current }}{% set z = c.reset() %}{{ c.next() }}{{ c.nothing }}",
    "{% set j = joiner('; ') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}{{ j() }}", "{% set j = joiner() %}{{ j() }}1{{ j() }}2", "{% set a = joiner('+') %}{% set b = joiner('-') %}{{ a() }}{{ b() }}{{ a() }}{{ b() }}",
    "{% for x in l %}{{ loop.next }}{% endfor %}",
]


def main():
    sources = ["{{ " + e + " }}" for e in EXPR] + TEMPLATES
    sources += ["{{ " + json.dumps(w, ensure_ascii=False) + " | " + c + " }}" for w in WRAPPED for c in CUTTING]
    sources += ["{{ " + e + " }}" for e in MORE] + STATEFUL
    for source in sources:
        used = {k: v for k, v in VARS.items() if k in source}
        record = {"template": source, "vars": used}
        try:
            record["rendered"] = ENV.from_string(source).render(**used)
        except Refused as e:
            record["error"] = str(e)
        except Exception:
            record["error"] = ""
        if " at 0x" in record.get("rendered", "") or "<built-in" in record.get("rendered", ""):
            record["error"] = ""  # Python prints an address; hora refuses
            del record["rendered"]
        sys.stdout.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
