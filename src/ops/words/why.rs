//! Pure: the reasons of decisions, in words.

use crate::call::facts::Word;
use crate::call::record::{Direction, Side, Skip, TimeSource};
use crate::call::why::{
    DirectionRule, Filter, ForwardRule, HookEffect, OutcomeRule, PartialRule, PhoneSource, ResponsibleRule,
    Why,
};
use crate::ops::words::{self, Language, cause};

/// What a reason is about, in one or two words.
pub fn label(why: &Why, language: Language) -> &'static str {
    match why {
        Why::Direction { .. } => language.pick("direction", "направление"),
        Why::Side { .. } => language.pick("side", "сторона"),
        Why::Phone { .. } => language.pick("number", "номер"),
        Why::Responsible { .. } => language.pick("booked on", "ответственный"),
        Why::Outcome { .. } => language.pick("outcome", "итог"),
        Why::Forwarded { .. } => language.pick("forward", "переадресация"),
        Why::Time { .. } => language.pick("time", "время"),
        Why::DialPlan { .. } => language.pick("dial plan", "диалплан"),
        Why::Line { .. } => language.pick("line", "линия"),
        Why::Filtered { .. } => language.pick("filter", "отбор"),
        Why::Skip { .. } => language.pick("not sent", "не отправлен"),
        Why::Partial { .. } => language.pick("partial", "неполный"),
        Why::FromCdr { .. } => language.pick("source", "источник"),
        Why::Hook(_) => language.pick("hook", "хук"),
    }
}

/// The reason as a sentence without a full stop.
pub fn why(why: &Why, call: Direction, language: Language) -> String {
    match why {
        Why::Direction { direction, rule, channel } => {
            let (way, rule) = (words::direction(*direction, language), direction_rule(*rule, language));
            format!("{way}: {rule} ({channel})")
        }
        Why::Side { endpoint, side, evidence, weak } => {
            let verdict = verdict(endpoint, *side, *weak, language);
            format!("{verdict}: {}", words::evidence::evidence(*evidence, language))
        }
        Why::Phone { source } => phone(*source, language).to_owned(),
        Why::Responsible { extension, rule } => {
            let nobody = language.pick("nobody", "никто");
            format!("{}: {}", extension.as_deref().unwrap_or(nobody), responsible(*rule, language))
        }
        Why::Outcome { outcome, rule } => {
            let outcome = words::outcome(*outcome, call, language);
            format!("{outcome}: {}", outcome_rule(*rule, language))
        }
        Why::Forwarded { extension, rule } => {
            let someone = language.pick("somebody", "кого-то из сотрудников");
            let extension = extension.as_deref().unwrap_or(someone);
            let counts = language.pick("an outside phone stands for", "внешний телефон — за");
            format!("{counts} {extension}: {}", forward(*rule, language))
        }
        Why::Time { source } => time(*source, language).to_owned(),
        Why::DialPlan { word, value } => format!("{}: {value}", word_of(*word, language)),
        Why::Line { number, label } => {
            let label = label.as_deref().map(|label| format!(" ({label})")).unwrap_or_default();
            language.pick(
                format!("[[line]] number {number}{label} fits"),
                format!("подходит [[line]] номер {number}{label}"),
            )
        }
        Why::Filtered { by } => filter(*by, language).to_owned(),
        Why::Skip { reason } => skip(*reason, language).to_owned(),
        Why::Partial { rule } => partial(*rule, language).to_owned(),
        Why::FromCdr { rows, events: 0 } => language.pick(
            format!("not seen live: made of the PBX's call detail records (rows: {rows})"),
            format!("вживую не виден: составлен по CDR станции (строк: {rows})"),
        ),
        Why::Hook(effect) => hook(effect, language),
        Why::FromCdr { rows, events } => language.pick(
            format!("not seen live: made of the PBX's channel events (CEL: {events}, rows of CDR: {rows})"),
            format!(
                "вживую не виден: составлен по событиям каналов станции (CEL: {events}, строк CDR: {rows})"
            ),
        ),
    }
}

fn hook(effect: &HookEffect, language: Language) -> String {
    match effect {
        HookEffect::Unchanged => language
            .pick("before-send leaves the call as it is", "before-send оставил звонок как есть")
            .to_owned(),
        HookEffect::Changed { fields } => {
            let fields = fields.join(", ");
            language.pick(format!("before-send changed: {fields}"), format!("before-send изменил: {fields}"))
        }
        HookEffect::Withheld { reason } => {
            let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            language.pick(
                format!("before-send does not want the call sent{reason}"),
                format!("before-send велел не отправлять{reason}"),
            )
        }
        HookEffect::Failed { reason } => language.pick(
            format!("before-send failed, and the call goes as it was: {reason}"),
            format!("before-send не справился, звонок уходит как был: {reason}"),
        ),
        HookEffect::Bypassed => language
            .pick(
                "before-send had failed again and again and was not asked",
                "before-send раз за разом не справлялся, его не спрашивали",
            )
            .to_owned(),
    }
}

fn verdict(endpoint: &str, side: Side, weak: bool, language: Language) -> String {
    let is = match side {
        Side::Unknown => {
            return language.pick(
                format!("{endpoint} may be a trunk or a phone"),
                format!("{endpoint} может быть и транком, и телефоном"),
            );
        }
        Side::Inside | Side::Outside | Side::Helper => words::side(side, language),
    };
    if weak {
        return language.pick(
            format!("{endpoint} was taken for {is}, though little speaks for it"),
            format!("{endpoint} принят за: {is}, но доводов мало"),
        );
    }
    language.pick(format!("{endpoint} is {is}"), format!("{endpoint} — {is}"))
}

fn direction_rule(rule: DirectionRule, language: Language) -> &'static str {
    match rule {
        DirectionRule::TrunkCalledIn => language.pick("a trunk called in", "вызов пришёл с транка"),
        DirectionRule::ExtensionDialledOut => {
            language.pick("an extension dialled out", "внутренний номер набрал внешний")
        }
        DirectionRule::ClickToCall => language.pick(
            "the PBX called the employee first, then the customer",
            "АТС вызвала сначала сотрудника, потом клиента",
        ),
        DirectionRule::PbxDialledOut => {
            language.pick("the PBX called the customer first", "АТС вызвала сначала клиента")
        }
        DirectionRule::NoOutsideLeg => language.pick("no trunk took part", "транк не участвовал"),
    }
}

fn phone(source: PhoneSource, language: Language) -> &'static str {
    match source {
        PhoneSource::CallerId => {
            language.pick("as the network presented it (CallerID)", "как его показала сеть (CallerID)")
        }
        PhoneSource::SentToNetwork => {
            language.pick("as the PBX sent it through the trunk", "как его отправила в транк АТС")
        }
        PhoneSource::DialledExten => language.pick(
            "as the extension dialled it; what was sent to the network is not known",
            "как его набрал сотрудник; что ушло в сеть, неизвестно",
        ),
        PhoneSource::None => language.pick("the network presented none", "сеть номера не показала"),
    }
}

fn responsible(rule: ResponsibleRule, language: Language) -> &'static str {
    match rule {
        ResponsibleRule::LastWhoTalked => {
            language.pick("the last who talked with the customer", "последний, кто говорил с клиентом")
        }
        ResponsibleRule::FirstWhoTalked => {
            language.pick("the first who talked with the customer", "первый, кто говорил с клиентом")
        }
        ResponsibleRule::LongestWhoTalked => {
            language.pick("who talked longest with the customer", "дольше всех говорил с клиентом")
        }
        ResponsibleRule::OnlyOneCalled => {
            language.pick("nobody talked, only this one was called", "никто не говорил, вызывали только его")
        }
        ResponsibleRule::Dialled => {
            language.pick("nobody talked, this one dialled", "никто не говорил, набирал он")
        }
        ResponsibleRule::CalledFirst => language
            .pick("nobody talked, the call was made for this one", "никто не говорил, вызов делали для него"),
        ResponsibleRule::SeveralCalled => {
            language.pick("several were called and none talked", "вызывали нескольких, никто не говорил")
        }
        ResponsibleRule::MissedFirst => language.pick(
            "several were called, none talked; missed = \"first\"",
            "вызывали нескольких, никто не говорил; missed = \"first\"",
        ),
        ResponsibleRule::MissedLast => language.pick(
            "several were called, none talked; missed = \"last\"",
            "вызывали нескольких, никто не говорил; missed = \"last\"",
        ),
        ResponsibleRule::MissedConfigured => language.pick(
            "several were called, none talked; 'missed' names this one",
            "вызывали нескольких, никто не говорил; его называет missed",
        ),
        ResponsibleRule::EntityOwner => language.pick(
            "nobody talked, not exactly one was called; missed = \"entity-owner\": whose contact it is in amoCRM",
            "никто не говорил, вызывали не одного; missed = \"entity-owner\": чей контакт в amoCRM",
        ),
        ResponsibleRule::Forwarding => language.pick(
            "nobody talked, the call was sent on from this one",
            "никто не говорил, вызов был переадресован с него",
        ),
        ResponsibleRule::DialPlan => language.pick("the dial plan named this one", "его назвал диалплан"),
        ResponsibleRule::OwnRecord => {
            language.pick("each who talked has a record of his own", "у каждого говорившего своя запись")
        }
        ResponsibleRule::NobodyCalled => {
            language.pick("no extension was called", "внутренние номера не вызывали")
        }
    }
}

fn outcome_rule(rule: OutcomeRule, language: Language) -> String {
    let words = match rule {
        OutcomeRule::Talked => language.pick(
            "an employee and the outside party heard each other",
            "сотрудник и абонент слышали друг друга",
        ),
        OutcomeRule::MessageLeft => {
            language.pick("a mailbox got a message", "в голосовой почте новое сообщение")
        }
        OutcomeRule::Fax => language.pick("a fax machine was on the line", "на линии был факс"),
        OutcomeRule::TrunkCause { cause } => {
            let said = language.pick("the trunk said", "транк сообщил");
            return format!("{said}: {}", cause::numbered(cause, language));
        }
        OutcomeRule::TrunkDial => {
            language.pick("so the dial to the trunk ended", "так закончился набор через транк")
        }
        OutcomeRule::AllBusy => language.pick("every extension called was busy", "все вызванные были заняты"),
        OutcomeRule::AllRefused => {
            language.pick("every extension called declined", "все вызванные отклонили")
        }
        OutcomeRule::NobodyReachable => {
            language.pick("no extension could be reached", "ни один внутренний номер не доступен")
        }
        OutcomeRule::CallerGaveUp => language
            .pick("phones rang, and the outside party hung up", "телефоны звонили, абонент положил трубку"),
        OutcomeRule::RangOut => {
            language.pick("phones rang until the PBX gave up", "телефоны звонили, пока АТС не прекратила")
        }
        OutcomeRule::NobodyRang => language.pick(
            "no extension was called: a menu, a queue, an announcement",
            "внутренние номера не вызывали: меню, очередь, объявление",
        ),
        OutcomeRule::EmployeeGaveUp => language.pick(
            "the employee hung up before the outside party answered",
            "сотрудник положил трубку раньше, чем ответил абонент",
        ),
    };
    words.to_owned()
}

fn forward(rule: ForwardRule, language: Language) -> &'static str {
    match rule {
        ForwardRule::ByPhone => {
            language.pick("the phone sent the call on (302)", "телефон переадресовал вызов (302)")
        }
        ForwardRule::ByDialPlan => language.pick("the dial plan says so", "так говорит диалплан"),
        ForwardRule::Transferred => {
            language.pick("an employee transferred the call there", "вызов перевёл сотрудник")
        }
        ForwardRule::CalledWith => language.pick(
            "it was called together with, or after, the only extension called",
            "его вызывали вместе с единственным внутренним номером или после него",
        ),
        ForwardRule::Unknown => language.pick("whose phone it is was not seen", "чей это телефон, не видно"),
    }
}

fn time(source: TimeSource, language: Language) -> &'static str {
    match source {
        TimeSource::Event => language.pick("as the events carry it", "как его несут события"),
        TimeSource::Arrival => language.pick(
            "when the events arrived here: they carry none of their own",
            "когда события пришли сюда: своего времени в них нет",
        ),
        TimeSource::Estimated => language.pick(
            "estimated from uniqueids and the like: the events carry none",
            "оценено по uniqueid и подобному: в событиях времени нет",
        ),
    }
}

fn word_of(word: Word, language: Language) -> &'static str {
    match word {
        Word::Status => language.pick("it sets call_status", "он задаёт call_status"),
        Word::Result => language.pick("it sets call_result", "он задаёт call_result"),
        Word::Responsible => language.pick("it sets the responsible", "он задаёт ответственного"),
        Word::Tenant => language.pick("it says whose call it is", "он говорит, чей это звонок"),
        Word::Send => language.pick("it says whether the call is sent", "он говорит, отправлять ли звонок"),
    }
}

fn filter(filter: Filter, language: Language) -> &'static str {
    match filter {
        Filter::Directions => language.pick(
            "'directions' of [calls.send] leaves this direction out",
            "directions в [calls.send] исключает это направление",
        ),
        Filter::Dids => language.pick(
            "'dids' of [calls.send] leaves out the number that was called",
            "dids в [calls.send] исключает номер, на который звонили",
        ),
        Filter::Trunks => language
            .pick("'trunks' of [calls.send] leaves the trunk out", "trunks в [calls.send] исключает транк"),
        Filter::Extensions => language.pick(
            "'extensions' of [calls.send] leaves out the one it is booked on",
            "extensions в [calls.send] исключает ответственного",
        ),
        Filter::Numbers => language.pick(
            "'numbers' of [calls.send] leaves the outside number out",
            "numbers в [calls.send] исключает внешний номер",
        ),
        Filter::ShortestTalk => language.pick(
            "the talk is shorter than 'shortest-talk' of [calls.send]",
            "разговор короче, чем shortest-talk в [calls.send]",
        ),
        Filter::Line => language.pick("'send' of its [[line]] is false", "send в его [[line]] равен false"),
        Filter::ShortestWait => language.pick(
            "the call is shorter than 'shortest-wait' of [calls.send]",
            "звонок короче, чем shortest-wait в [calls.send]",
        ),
    }
}

/// Why a call is not sent, as a sentence without a full stop.
pub fn skip(skip: Skip, language: Language) -> &'static str {
    match skip {
        Skip::Internal => language.pick("no outside party took part", "внешнего абонента не было"),
        Skip::Anonymous => language.pick("the outside number is not known", "номер абонента неизвестен"),
        Skip::ShortNumber => language
            .pick("the number is too short to be a subscriber's", "номер слишком короток для абонента"),
        Skip::NoConversation => language.pick(
            "a fax, a page or a spy is no conversation",
            "факс, оповещение или прослушивание — не разговор",
        ),
        Skip::UnknownSides => language.pick(
            "which side is inside and which outside could not be told",
            "неясно, какая сторона внутренняя, а какая внешняя",
        ),
        Skip::Policy => {
            language.pick("configuration or dial plan say so", "так решили конфигурация или диалплан")
        }
        Skip::UnknownNumber => language.pick(
            "amoCRM does not know the number, and calls with unknown numbers are dropped",
            "amoCRM не знает номера, а звонки с неизвестных номеров отбрасываются",
        ),
        Skip::Shadow => language.pick(
            "its account is in shadow mode, which posts nothing",
            "его аккаунт в теневом режиме, в котором ничего не отправляется",
        ),
    }
}

fn partial(rule: PartialRule, language: Language) -> &'static str {
    match rule {
        PartialRule::BeginNotSeen => language
            .pick("the call was under way before the first event", "звонок начался раньше первого события"),
        PartialRule::EndNotSeen => {
            language.pick("the events ended before the call did", "события кончились раньше звонка")
        }
    }
}

#[cfg(test)]
mod tests;
