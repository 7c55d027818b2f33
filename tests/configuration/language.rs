//! The languages of the page: each has an example of its own, and words for what the page says itself.

/// A language of the example and of the page that is made of it.
pub struct Language {
    pub example: &'static str,
    pub example_path: &'static str,
    pub page_path: &'static str,
    /// How its pages' names end.
    pub ending: &'static str,
    pub head: &'static str,
    pub default: &'static str,
    /// Before an example of what has no default.
    pub unset: &'static str,
    /// Before an example of a key that is the user's own.
    pub such_as: &'static str,
    /// A type, as `reader::kind` tells it, in this language.
    pub kind: fn(&str) -> String,
}

pub const ENGLISH: Language = Language {
    example: include_str!("../../config/ami2amo.toml"),
    example_path: "config/ami2amo.toml",
    page_path: "docs/configuration.md",
    ending: ".md",
    head: ENGLISH_HEAD,
    default: "default",
    unset: "unset; e.g.",
    such_as: "such as",
    kind: str::to_owned,
};

pub const RUSSIAN: Language = Language {
    example: include_str!("../../config/ami2amo.ru.toml"),
    example_path: "config/ami2amo.ru.toml",
    page_path: "docs/configuration.ru.md",
    ending: ".ru.md",
    head: RUSSIAN_HEAD,
    default: "по умолчанию",
    unset: "не задано; например",
    such_as: "например",
    kind: russian_kind,
};

pub const ALL: &[Language] = &[ENGLISH, RUSSIAN];

fn russian_kind(kind: &str) -> String {
    if let Some(element) = kind.strip_prefix("list of ") {
        return format!("список ({})", russian_kind(element));
    }
    let russian = match kind {
        "text" => "текст",
        "path" => "путь",
        "number" => "число",
        "yes or no" => "да или нет",
        "time" => "время",
        "table" => "таблица",
        "socket address" => "адрес и порт",
        "a text or a list of texts" => "текст или список текстов",
        "a fingerprint such as \"sha256:…\", or a list of them" => {
            "отпечаток вида \"sha256:…\" или список отпечатков"
        }
        // Words that are written as they stand.
        variants if variants.starts_with('`') => variants,
        other => panic!("tests/configuration/language.rs has no Russian for the type \"{other}\""),
    };
    russian.to_owned()
}

const ENGLISH_HEAD: &str = "# Every key of the configuration

In Russian: [configuration.ru.md](configuration.ru.md).

One TOML file, `/etc/ami2amo/ami2amo.toml` unless `--config FILE` names another. `ami2amo check --offline` says what is wrong
in it, with line and caret; a key that is not on this page is refused. Secrets belong in files of their own.

This page is generated: keys and types are what the program's reader answers when it is asked, defaults and meanings are
those of [`config/ami2amo.toml`](../config/ami2amo.toml), which can be taken as it is.

| type | is written |
|---|---|
| text, path, number | `\"text\"`, `\"/a/path\"`, `7` |
| yes or no | `true`, `false` |
| time | `\"30s\"`, `\"10m\"`, `\"4h\"`, `\"1h 30m\"`; no days |
| list | `[\"one\", \"two\"]` |

**A change counts** after `systemctl reload ami2amo` in `[calls]`, `[[line]]` and `[delivery]`, and of an account all but
its name, address, token, pace and the way there. What needs a restart (connections, folders, log) is named in the log then.
";

const RUSSIAN_HEAD: &str = "# Все ключи настройки

По-английски: [configuration.md](configuration.md).

Один файл TOML: `/etc/ami2amo/ami2amo.toml`, если `--config FILE` не называет другого. Что в нём неверно, скажет `ami2amo
check --offline`, со строкой и указателем на место; ключ, которого нет на этой странице, не принимается. Секретам место в
отдельных файлах.

Эта страница составлена автоматически: ключи и типы — по ответам самой программы, значения по умолчанию и пояснения — из
[`config/ami2amo.ru.toml`](../config/ami2amo.ru.toml). Это готовый пример, его можно взять как есть: от английского он
отличается только пояснениями. [В пакетах](packages.ru.md) это `/usr/share/doc/ami2amo/ami2amo.ru.toml`, а из tar.gz —
`/usr/local/share/doc/ami2amo/ami2amo.ru.toml`.

| тип | как пишется |
|---|---|
| текст, путь, число | `\"текст\"`, `\"/путь/к/файлу\"`, `7` |
| да или нет | `true`, `false` |
| время | `\"30s\"`, `\"10m\"`, `\"4h\"`, `\"1h 30m\"`; дней нет |
| список | `[\"один\", \"два\"]` |

**Изменения действуют** после `systemctl reload ami2amo` в `[calls]`, `[[line]]` и `[delivery]`, а у аккаунта — во всём, кроме
имени, адреса, токена, темпа и пути к нему. Для чего нужен перезапуск (соединения, папки, журнал), об этом скажет журнал.
";
