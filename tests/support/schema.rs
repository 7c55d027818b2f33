//! As much of JSON Schema as `docs/openapi.json` uses; a word of it that is not known here fails.

use serde_json::{Map, Value};

/// What of `value` is not as `schema` says; `whole` is the document for `$ref`.
pub fn faults(whole: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let object = schema.as_object().expect("a schema is an object");
    let mut faults = Vec::new();
    for (word, said) in object {
        match word.as_str() {
            "type" if !is_of_type(said, value) => faults.push(format!("{place}: {value} is no {said}")),
            "enum" if !list(said).contains(value) => {
                faults.push(format!("{place}: {value} is none of {said}"));
            }
            "oneOf" => {
                let fits = |one: &&Value| self::faults(whole, one, value, place).is_empty();
                if list(said).iter().filter(fits).count() != 1 {
                    faults.push(format!("{place}: {value} is not one of {said}"));
                }
            }
            "required" => {
                let missing = list(said).iter().filter(|name| value.get(name.as_str().unwrap()).is_none());
                faults.extend(missing.map(|name| format!("{place}: {name} is missing")));
            }
            "additionalProperties" if *said == Value::Bool(false) => {
                let new = others(object, value).map(|(name, _)| format!("{place}: {name} is not described"));
                faults.extend(new);
            }
            "$ref" | "properties" | "additionalProperties" | "propertyNames" | "items" | "prefixItems" => {
                for (schema, value, place) in within(whole, object, word, value, place) {
                    faults.extend(self::faults(whole, schema, &value, &place));
                }
            }
            "type" | "enum" | "description" | "maxItems" => {}
            word => panic!("{word} is a word that this test does not know"),
        }
    }
    faults
}

/// What has to be looked at because of `word`.
fn within<'s>(
    whole: &'s Value,
    object: &'s Map<String, Value>,
    word: &str,
    value: &Value,
    place: &str,
) -> Vec<(&'s Value, Value, String)> {
    let said = &object[word];
    let fields = || value.as_object().into_iter().flatten();
    let entries = || value.as_array().into_iter().flatten().cloned().enumerate();
    match word {
        "$ref" => {
            let path = said.as_str().unwrap().trim_start_matches('#');
            vec![(whole.pointer(path).expect("it is there"), value.clone(), place.to_owned())]
        }
        "properties" => {
            let known = fields().filter_map(|(name, value)| Some((said.get(name)?, value, name)));
            known.map(|(schema, value, name)| (schema, value.clone(), format!("{place}.{name}"))).collect()
        }
        "additionalProperties" => others(object, value)
            .filter(|_| said.is_object())
            .map(|(name, value)| (said, value.clone(), format!("{place}.{name}")))
            .collect(),
        "propertyNames" => {
            fields().map(|(name, _)| (said, Value::from(name.as_str()), place.to_owned())).collect()
        }
        "items" => entries().map(|(number, value)| (said, value, format!("{place}[{number}]"))).collect(),
        _ => {
            let pairs = list(said).iter().zip(entries());
            pairs.map(|(schema, (number, value))| (schema, value, format!("{place}[{number}]"))).collect()
        }
    }
}

/// Fields that `properties` has not.
fn others<'v>(
    object: &'v Map<String, Value>,
    value: &'v Value,
) -> impl Iterator<Item = (&'v String, &'v Value)> {
    let known = object.get("properties");
    let is_new = move |(name, _): &(&String, &Value)| known.is_none_or(|known| known.get(name).is_none());
    value.as_object().into_iter().flatten().filter(is_new)
}

fn list(said: &Value) -> &Vec<Value> {
    said.as_array().expect("it is a list")
}

fn is_of_type(said: &Value, value: &Value) -> bool {
    let is = |word: &str| match word {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        word => panic!("{word} is no type"),
    };
    match said {
        Value::Array(words) => words.iter().filter_map(Value::as_str).any(is),
        word => is(word.as_str().unwrap()),
    }
}
