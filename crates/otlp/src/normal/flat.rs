use super::json::{Json, Object};
use std::borrow::Cow;

/// Most elements that one flattened list may have; a wild index must not make a huge list.
const MAX_INDEX: usize = 10_000;

/// Builds the list that was flattened into keys like `0.message.content`. Indexes that are left out are closed up.
pub(super) fn unflatten<'k, 'a>(entries: impl IntoIterator<Item = (&'k str, Json<'a>)>) -> Json<'a> {
    let mut root = Node::default();
    for (path, value) in entries {
        root.insert(path, value);
    }
    root.into_value()
}

/// A place in the tree: its own value, and what lies below it.
#[derive(Debug, Default)]
struct Node<'a> {
    value: Option<Json<'a>>,
    /// In the order in which they came, which for lists is almost always their own.
    children: Vec<(String, Node<'a>)>,
}

impl<'a> Node<'a> {
    fn insert(&mut self, path: &str, value: Json<'a>) {
        let mut node = self;
        if !path.is_empty() {
            for segment in path.split('.') {
                // The same child is used again and again while a list is read: look from the end.
                let at = node.children.iter().rposition(|(name, _)| name == segment);
                let at = at.unwrap_or_else(|| {
                    node.children.push((segment.to_owned(), Self::default()));
                    node.children.len() - 1
                });
                match node.children.get_mut(at) {
                    Some((_, child)) => node = child,
                    None => return,
                }
            }
        }
        node.value = Some(value);
    }

    fn into_value(mut self) -> Json<'a> {
        if self.children.is_empty() {
            return self.value.unwrap_or_default();
        }
        let index = |(name, _): &(String, Self)| name.parse().ok().filter(|index: &usize| *index < MAX_INDEX);
        if self.children.iter().all(|child| index(child).is_some()) {
            self.children.sort_by_key(|child| index(child));
            return Json::Array(self.children.into_iter().map(|(_, child)| child.into_value()).collect());
        }
        let members = self.children.into_iter().map(|(name, child)| (Cow::Owned(name), child.into_value()));
        Json::Object(members.collect::<Object<'_>>())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_and_objects_are_rebuilt_in_order() {
        let entries = [
            ("10.message.role", "\"tool\""),
            ("2.message.role", "\"user\""),
            ("2.message.contents.1.message_content.text", "\"b\""),
            ("2.message.contents.0.message_content.text", "\"a\""),
            ("2.message.name", "null"),
        ];
        let entries = entries.map(|(key, text)| (key, Json::read(text)));
        assert_eq!(
            unflatten(entries).to_value(),
            json!([
                {"message": {"role": "user", "contents": [
                    {"message_content": {"text": "a"}}, {"message_content": {"text": "b"}}], "name": null}},
                {"message": {"role": "tool"}},
            ])
        );
        assert_eq!(unflatten([("", Json::read("\"all\""))]).to_value(), json!("all"));
        assert_eq!(unflatten([("99999999999", Json::read("1"))]).to_value(), json!({"99999999999": 1}));
    }
}
