//! Whose spans a request is about.

use endspan_model::AccountId;
use endspan_model::limits::MAX_ID_BYTES;
use http::HeaderMap;

/// The header that names the account, on every API.
pub(crate) const ACCOUNT_HEADER: &str = "x-selected-account-id";

/// The account header is no usable text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be at most {MAX_ID_BYTES} bytes of visible text")]
pub(crate) struct AccountError;

/// Returns the account that the request names, or `None` when it names none (or an empty one).
pub(crate) fn selected_account(headers: &HeaderMap) -> Result<Option<AccountId>, AccountError> {
    let Some(value) = headers.get(ACCOUNT_HEADER) else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| AccountError)?.trim();
    if text.len() > MAX_ID_BYTES {
        return Err(AccountError);
    }
    Ok((!text.is_empty()).then(|| AccountId::new(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(value: &[u8]) -> Result<Option<AccountId>, AccountError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCOUNT_HEADER, http::HeaderValue::from_bytes(value).unwrap());
        selected_account(&headers)
    }

    #[test]
    fn an_empty_header_names_no_account() {
        assert_eq!(selected_account(&HeaderMap::new()), Ok(None));
        assert_eq!(account(b"  "), Ok(None));
        assert_eq!(account(b"acct-1"), Ok(Some(AccountId::new("acct-1"))));
        assert_eq!(account("Zürich".as_bytes()), Ok(Some(AccountId::new("Zürich"))));
    }

    #[test]
    fn unusable_text_is_refused() {
        assert_eq!(account(b"\xff\xfe"), Err(AccountError));
        assert_eq!(account(&[b'a'; 257]), Err(AccountError));
    }
}
