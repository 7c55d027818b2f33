//! TCP to the PBX: drives the session, reconnects; knows no call.
