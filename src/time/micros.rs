//! Pure: moments of the PBX's clock as whole microseconds in JSON, for what must come back as it was.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::PbxTime;

pub fn serialize<S: Serializer>(at: &PbxTime, serializer: S) -> Result<S::Ok, S::Error> {
    at.micros().serialize(serializer)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PbxTime, D::Error> {
    i64::deserialize(deserializer).map(PbxTime::from_micros)
}

/// The same for moments that may not have come.
pub mod option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::time::PbxTime;

    pub fn serialize<S: Serializer>(at: &Option<PbxTime>, serializer: S) -> Result<S::Ok, S::Error> {
        at.map(PbxTime::micros).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PbxTime>, D::Error> {
        Ok(Option::<i64>::deserialize(deserializer)?.map(PbxTime::from_micros))
    }
}
