//! Pure: why a leg ended: the causes of Q.850 as Asterisk uses them.

use crate::ops::words::Language;

/// In words; `None` for causes that say nothing (0) or that nobody documents.
pub fn cause(cause: u16, language: Language) -> Option<&'static str> {
    let (english, russian) = match cause {
        1 => ("no such number", "номер не существует"),
        2 | 3 => ("no way to the number", "нет маршрута к номеру"),
        5 => ("misdialled", "неверно набран номер"),
        16 => ("normal clearing", "обычное завершение"),
        17 => ("busy", "занято"),
        18 => ("no reply from the device", "устройство не отвечает"),
        19 => ("no answer", "нет ответа"),
        20 => ("offline", "не в сети"),
        21 => ("declined", "отклонён"),
        22 => ("the number has changed", "номер изменён"),
        23 => ("sent on to another number", "отправлен на другой номер"),
        26 => ("answered elsewhere", "ответили на другом телефоне"),
        27 => ("the far end is out of order", "абонент неисправен"),
        28 => ("incomplete number", "неполный номер"),
        29 => ("the network refused the service", "сеть отказала в услуге"),
        31 => ("ended without a reason", "завершён без причины"),
        34 => ("no free line", "нет свободной линии"),
        38 => ("the network is out of order", "сеть неисправна"),
        41 => ("temporary failure of the network", "временный сбой сети"),
        42 => ("the network is overloaded", "сеть перегружена"),
        44 => ("the line is not available", "линия недоступна"),
        47 => ("nothing free in the network", "нет ресурсов сети"),
        50 | 57 => ("the line may not do this", "линии это не разрешено"),
        52 => ("outgoing calls are barred", "исходящие запрещены"),
        54 => ("incoming calls are barred", "входящие запрещены"),
        58 | 65 | 79 => ("the network cannot do this", "сеть этого не умеет"),
        88 => ("the devices do not fit (codecs)", "устройства несовместимы (кодеки)"),
        102 => ("no reply in time", "нет ответа вовремя"),
        111 => ("protocol error", "ошибка протокола"),
        127 => ("no reason given", "причина не указана"),
        _ => return None,
    };
    Some(language.pick(english, russian))
}

/// `normal clearing (16)`; the bare number where there are no words, nothing for 0.
pub fn numbered(number: u16, language: Language) -> String {
    match cause(number, language) {
        Some(words) => format!("{words} ({number})"),
        None if number == 0 => String::new(),
        None => format!("{} {number}", language.pick("cause", "причина")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_has_words_or_its_number() {
        assert_eq!(numbered(16, Language::En), "normal clearing (16)");
        assert_eq!(numbered(17, Language::Ru), "занято (17)");
        assert_eq!(numbered(0, Language::En), "");
        assert_eq!(numbered(99, Language::En), "cause 99");
    }
}
