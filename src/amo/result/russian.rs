//! Pure: results in Russian.

use crate::call::record::Outcome;

pub(super) const fn template(outcome: Outcome, outbound: bool) -> &'static str {
    match (outcome, outbound) {
        (Outcome::Answered, false) => {
            "Ответил[ {who}][ через {wait}][, вместе с {with}][, перевод на {then}]"
        }
        (Outcome::Answered, true) => {
            "Разговор состоялся[, звонил {who}][, ответ через {wait}][, вместе с {with}][, перевод на {then}]"
        }
        (Outcome::Voicemail, false) => "Клиент оставил голосовое сообщение[, вызывали {rang}]",
        (Outcome::Voicemail, true) => "Ответил автоответчик[, звонил {who}]",
        (Outcome::Unavailable, false) => "Сотрудник недоступен[: {rang}]",
        (Outcome::Unavailable, true) => "Абонент недоступен[, звонил {who}]",
        (Outcome::WrongNumber, false) => "Неверный номер",
        (Outcome::WrongNumber, true) => "Неверный номер[, звонил {who}]",
        (Outcome::NoAnswer, false) => "Никто не ответил[ за {wait}][, вызывали {rang}]",
        (Outcome::NoAnswer, true) => "Абонент не ответил[ за {wait}][, звонил {who}]",
        (Outcome::Cancelled, false) => "Клиент не дождался ответа[ за {wait}][, вызывали {rang}]",
        (Outcome::Cancelled, true) => "Сотрудник отменил вызов[ через {wait}][, звонил {who}]",
        (Outcome::Abandoned, _) => "Клиент не дождался ответа сотрудника[ за {wait}][, очередь {queue}]",
        (Outcome::Declined, false) => "Сотрудник отклонил вызов[: {rang}]",
        (Outcome::Declined, true) => "Абонент отклонил вызов[, звонил {who}]",
        (Outcome::Congestion, false) => "Не удалось соединить: сбой связи",
        (Outcome::Congestion, true) => "Не удалось соединить: сбой связи[, звонил {who}]",
        (Outcome::Busy, false) => "Сотрудник был занят[: {rang}]",
        (Outcome::Busy, true) => "Абонент занят[, звонил {who}]",
        (Outcome::Fax, _) => "Факс",
    }
}
