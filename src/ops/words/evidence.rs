//! Pure: what was seen of an endpoint, in words.

use crate::call::side::evidence::Evidence;
use crate::ops::words::Language;

pub fn evidence(evidence: Evidence, language: Language) -> &'static str {
    match evidence {
        Evidence::None => language.pick("nothing was seen that tells", "ничего показательного не видно"),
        Evidence::Helper => {
            language.pick("a Local half, a spy or other media", "половина Local, прослушивание или медиа")
        }
        Evidence::Configured => language.pick("the configuration says so", "так сказано в конфигурации"),
        Evidence::Mobile => language
            .pick("its number is in [calls.sides.mobiles]", "его номер записан в [calls.sides.mobiles]"),
        Evidence::NumberDialled => {
            language.pick("numbers are dialled through it", "через него набирают номера")
        }
        Evidence::DirectNumber => language.pick(
            "it called a long number that reached a phone",
            "с него позвонили на длинный номер и попали на телефон",
        ),
        Evidence::ForeignCaller => {
            language.pick("it calls in with numbers not its own", "с него звонят с чужих номеров")
        }
        Evidence::ManyCallers => {
            language.pick("it calls in with several numbers", "с него звонят с разных номеров")
        }
        Evidence::TrunkContext => language.pick(
            "its calls come into a context named for trunks",
            "его вызовы приходят в контекст с именем для транков",
        ),
        Evidence::NamelessCaller => {
            language.pick("it called in without a number or to 's'", "с него звонили без номера или на 's'")
        }
        Evidence::NumberReached => {
            language.pick("it has the long number that was dialled", "у него набранный длинный номер")
        }
        Evidence::Hint => language.pick("a hint names it", "его называет hint диалплана"),
        Evidence::QueueMember => {
            language.pick("a queue called it as a member", "очередь вызывала его как участника")
        }
        Evidence::DialledByName => {
            language.pick("it is dialled by its name alone", "его набирают просто по имени")
        }
        Evidence::OwnNumber => {
            language.pick("it calls with its own name as number", "звонит с номером, равным имени")
        }
        Evidence::DialledOut => language
            .pick("it dialled numbers that went out through a trunk", "набирал номера, ушедшие через транк"),
        Evidence::ShortNumber => language.pick("its own number is short", "его собственный номер короткий"),
        Evidence::OwnDirectNumber => language.pick(
            "it calls with a long number that ends with its name",
            "звонит с длинным номером, который кончается его именем",
        ),
        Evidence::InsideContext => language.pick(
            "its calls come into a context named for extensions",
            "его вызовы приходят в контекст с именем для внутренних",
        ),
        Evidence::ShortName => language.pick("its name is a short number", "его имя — короткий номер"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_of_evidence_has_words_in_both_languages() {
        let others = [Evidence::None, Evidence::Helper, Evidence::Configured, Evidence::Mobile];
        for piece in Evidence::SEEN.into_iter().chain(others) {
            let (en, ru) = (evidence(piece, Language::En), evidence(piece, Language::Ru));
            assert!(en.is_ascii() && !ru.is_ascii(), "{piece:?}: {en} / {ru}");
        }
    }
}
