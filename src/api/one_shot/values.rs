//! Values of fields, in the words of the mirrored service.

use serde_json::Value;

/// How the mirrored service calls what stands in place of an object.
pub(super) fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// The text of a field that must be there.
pub(super) fn text(value: Option<&Value>) -> Result<&str, String> {
    match value {
        None => Err("This field is required.".to_owned()),
        Some(Value::Null) => Err("This field may not be null.".to_owned()),
        Some(Value::String(text)) if text.trim().is_empty() => Err("This field may not be blank.".to_owned()),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err("Not a valid string.".to_owned()),
    }
}
