//! Reading and setting one key of an object that is kept as text.

use endspan_model::{Payload, PayloadShape};

use super::{PayloadSource, Text};

/// Returns the raw text of a top-level member.
pub(crate) fn member_text(object: Option<&PayloadSource>, key: &str) -> Option<Payload> {
    as_payload(object?)?.get(key)
}

/// Sets a top-level member of `data`: `null` becomes an object first, an object keeps its other keys and their
/// order. Returns `false`, changing nothing, if `data` is neither.
pub(crate) fn set_member(data: &mut Option<PayloadSource>, key: &str, value: &[u8]) -> bool {
    let Some(old) = data.as_ref().filter(|data| !data.is_absent()) else {
        let mut text = Vec::with_capacity(key.len() + value.len() + 8);
        text.push(b'{');
        push_member(&mut text, key, value);
        text.push(b'}');
        *data = Some(PayloadSource::encoded(text));
        return true;
    };
    let Some(payload) = as_payload(old).filter(|payload| payload.shape() == PayloadShape::Object) else {
        return false;
    };
    let mut text = Vec::with_capacity(payload.len() + key.len() + value.len() + 8);
    if payload.get(key).is_none() {
        text.extend_from_slice(payload.as_bytes());
        text.pop();
        text.push(b',');
        push_member(&mut text, key, value);
    } else {
        text.push(b'{');
        for (index, (name, member)) in payload.members().unwrap_or_default().iter().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            push_member(&mut text, name, if name == key { value } else { member.as_bytes() });
        }
    }
    text.push(b'}');
    *data = Some(PayloadSource { failed: old.failed, ..PayloadSource::encoded(text) });
    true
}

fn push_member(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    endspan_wire::push_string(out, key);
    out.push(b':');
    out.extend_from_slice(value);
}

/// Returns the text as a validated payload; `None` if it is no JSON.
fn as_payload(source: &PayloadSource) -> Option<Payload> {
    let bytes = match &source.text {
        Text::Owned(text) => text.clone().into(),
        Text::Shared(text) => text.clone(),
    };
    if source.checked { Some(Payload::from_trusted(bytes)) } else { Payload::parse(bytes).ok() }
}
