//! Planted bugs: what the simulation must find. Each sits at a seam, none in the shipped code.

/// One bug, planted where the daemon's parts meet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mutant {
    /// The intent is acknowledged and never written.
    IntentNotDurable,
    /// A group is acknowledged before it is synced.
    AnswersBeforeSync,
    /// A full disk's error is taken for success.
    FullDiskIsSuccess,
    /// What the last process was sending is left as it is.
    IntentsNotAdopted,
    /// An unknown outcome is sent again without a look.
    ResentBlindly,
    /// A search that found nothing settles the matter at once.
    AbsentTooSoon,
    /// Stored calls are looked for from now on and not from their intent on.
    SearchedTooLate,
    /// One stored call makes the whole batch stored.
    RequestIdsIgnored,
    /// 429 counts as done.
    TooManyIsDone,
    /// `Retry-After` gets lost.
    RetryAfterLost,
    /// The page of a ban pauses nothing.
    BanUnheard,
    /// Requests leave as soon as they are wanted.
    PaceIgnored,
    /// The token's file is read once.
    TokenNotReadAgain,
    /// Calls that the store refused are forgotten.
    RefusedCallsDropped,
    /// Values of calls that ended stay.
    CheckpointStays,
    /// Values of calls that ended are removed before the calls are durable.
    CheckpointRemovedFirst,
    /// What is written down of a channel lacks its times in bridges.
    CheckpointWithoutTalk,
    /// What the store has of calls in progress is not read at the start.
    CheckpointNotRead,
    /// The first hang-up after a connection is overlooked.
    HangupForgotten,
    /// Times go out by the PBX's clock.
    OffsetForgotten,
    /// A call that ends again after a restart gets another name.
    TakenInTwice,
}

pub const MUTANTS: &[Mutant] = &[
    Mutant::IntentNotDurable,
    Mutant::AnswersBeforeSync,
    Mutant::FullDiskIsSuccess,
    Mutant::IntentsNotAdopted,
    Mutant::ResentBlindly,
    Mutant::AbsentTooSoon,
    Mutant::SearchedTooLate,
    Mutant::RequestIdsIgnored,
    Mutant::TooManyIsDone,
    Mutant::RetryAfterLost,
    Mutant::BanUnheard,
    Mutant::PaceIgnored,
    Mutant::TokenNotReadAgain,
    Mutant::RefusedCallsDropped,
    Mutant::CheckpointStays,
    Mutant::CheckpointRemovedFirst,
    Mutant::CheckpointWithoutTalk,
    Mutant::CheckpointNotRead,
    Mutant::HangupForgotten,
    Mutant::OffsetForgotten,
    Mutant::TakenInTwice,
];
