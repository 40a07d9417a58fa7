use std::collections::HashMap;
use std::str::FromStr;
use std::sync::LazyLock;

use endspan_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::Dollars;
use crate::normal::Usage;

/// Prices of models, dated.
///
/// ```
/// use endspan_otlp::cost::PriceTable;
/// let table = PriceTable::parse(
///     r#"
///     date = "2026-01-01"
///     source = "our contract"
///     [[model]]
///     names = ["our-model"]
///     prices = [{ input = "1.50", output = "6" }]
///     "#,
/// )?;
/// assert_eq!(table.date(), "2026-01-01");
/// # Ok::<(), endspan_otlp::cost::PriceTableError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PriceTable {
    date: String,
    source: String,
    /// For each name its prices, latest first.
    models: HashMap<String, Vec<Price>>,
}

/// Why a text is no price table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PriceTableError {
    /// The text is not TOML of the right form.
    #[error("price table: {0}")]
    Syntax(String),
    /// A price is no decimal number of dollars with at most six decimals.
    #[error("price table: {model}: {text:?} is no price")]
    Price {
        /// The model.
        model: String,
        /// What stands there.
        text: String,
    },
    /// A date is not written `YYYY-MM-DD`.
    #[error("price table: {model}: {text:?} is no date")]
    Date {
        /// The model.
        model: String,
        /// What stands there.
        text: String,
    },
    /// The currency is not US dollars.
    #[error("price table: currency {0:?} is not USD")]
    Currency(String),
}

/// Which tokens a line of a calculation counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// Input that has to do with no cache.
    Input,
    /// Input read from a cache.
    CacheRead,
    /// Input written to a cache.
    CacheWrite,
    /// Output, reasoning included.
    Output,
}

/// What a call costs, with the arithmetic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cost {
    /// The sum of the lines.
    pub total: Dollars,
    /// How it comes about: tokens times price, for each kind of tokens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<CostLine>,
    /// The name under which the table has the model.
    pub model: String,
    /// From when on this price holds; `None` from the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_from: Option<String>,
}

/// One line of a calculation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CostLine {
    /// Which tokens.
    pub kind: TokenKind,
    /// How many.
    pub tokens: u64,
    /// Dollars for a million of them.
    pub dollars_per_million: Dollars,
    /// What they cost together.
    pub amount: Dollars,
}

#[derive(Clone, Debug, Default)]
struct Price {
    from: Option<(Timestamp, String)>,
    rates: Rates,
    above: Option<(u64, Rates)>,
}

/// Microdollars for a million tokens, which are picodollars for a token.
#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    input: u64,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    output: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableText {
    date: String,
    #[serde(default)]
    currency: Option<String>,
    #[serde(default)]
    source: String,
    #[serde(default)]
    model: Vec<ModelText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelText {
    names: Vec<String>,
    prices: Vec<PriceText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceText {
    from: Option<String>,
    input: Option<String>,
    cache_read: Option<String>,
    cache_write: Option<String>,
    output: Option<String>,
    above: Option<AboveText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AboveText {
    input_tokens: u64,
    input: Option<String>,
    cache_read: Option<String>,
    cache_write: Option<String>,
    output: Option<String>,
}

impl PriceTable {
    /// Returns the table that comes with this version: list prices as of [`PriceTable::date`].
    pub fn built_in() -> &'static Self {
        static TABLE: LazyLock<PriceTable> = LazyLock::new(|| {
            PriceTable::parse(include_str!("prices.toml")).unwrap_or_else(|_| PriceTable::empty())
        });
        &TABLE
    }

    /// Returns a table that knows no model.
    pub fn empty() -> Self {
        Self { date: String::new(), source: String::new(), models: HashMap::new() }
    }

    /// Reads a table in the form of `src/cost/prices.toml`, which explains itself.
    ///
    /// # Errors
    /// [`PriceTableError`] names the model and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PriceTableError> {
        let table: TableText =
            toml::from_str(text).map_err(|error| PriceTableError::Syntax(error.to_string()))?;
        if let Some(currency) = table.currency.filter(|currency| currency != "USD") {
            return Err(PriceTableError::Currency(currency));
        }
        let mut models = HashMap::new();
        for model in table.model {
            let name = model.names.first().cloned().unwrap_or_default();
            let mut prices =
                model.prices.iter().map(|price| read_price(&name, price)).collect::<Result<Vec<_>, _>>()?;
            prices.sort_by_key(|price| std::cmp::Reverse(price.from.as_ref().map(|(from, _)| *from)));
            for name in model.names {
                models.insert(name.to_ascii_lowercase(), prices.clone());
            }
        }
        Ok(Self { date: table.date, source: table.source, models })
    }

    /// Returns the day for which the prices were collected, `YYYY-MM-DD`.
    pub fn date(&self) -> &str {
        &self.date
    }

    /// Returns where the prices come from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns what a call of this model at this time costs, or `None` if the table does not know the model.
    ///
    /// The model is looked up as it is named, then without the prefixes of gateways and clouds and without the
    /// suffixes of dated releases: `us.anthropic.claude-3-5-sonnet-20241022-v2:0` is `claude-3-5-sonnet`.
    pub fn cost(&self, model: &str, usage: &Usage, at: Timestamp) -> Option<Cost> {
        let (name, prices) = names(model)
            .find_map(|name| Some((self.models.get_key_value(&name)?.0, self.models.get(&name)?)))?;
        let price = prices.iter().find(|price| price.from.as_ref().is_none_or(|(from, _)| *from <= at))?;
        let input_tokens = usage.input_tokens.unwrap_or(0);
        let rates = match &price.above {
            Some((bound, rates)) if input_tokens > *bound => rates,
            _ => &price.rates,
        };
        let counts = [
            (TokenKind::Input, usage.uncached_input_tokens(), rates.input),
            (
                TokenKind::CacheRead,
                usage.cache_read_tokens.unwrap_or(0),
                rates.cache_read.unwrap_or(rates.input),
            ),
            (
                TokenKind::CacheWrite,
                usage.cache_write_tokens.unwrap_or(0),
                rates.cache_write.unwrap_or(rates.input),
            ),
            (TokenKind::Output, usage.output_tokens.unwrap_or(0), rates.output),
        ];
        let lines: Vec<CostLine> = counts
            .into_iter()
            .filter(|(_, tokens, _)| *tokens > 0)
            .map(|(kind, tokens, rate)| CostLine {
                kind,
                tokens,
                dollars_per_million: Dollars(u128::from(rate) * 1_000_000),
                amount: Dollars(u128::from(rate) * u128::from(tokens)),
            })
            .collect();
        Some(Cost {
            total: lines.iter().map(|line| line.amount).sum(),
            lines,
            model: name.clone(),
            price_from: price.from.as_ref().map(|(_, text)| text.clone()),
        })
    }
}

fn read_price(model: &str, text: &PriceText) -> Result<Price, PriceTableError> {
    let from = match &text.from {
        None => None,
        Some(text) => Some((
            date(text)
                .ok_or_else(|| PriceTableError::Date { model: model.to_owned(), text: text.clone() })?,
            text.clone(),
        )),
    };
    let rate = |text: &Option<String>| text.as_deref().map(|text| microdollars(model, text)).transpose();
    let rates = Rates {
        input: rate(&text.input)?.unwrap_or(0),
        cache_read: rate(&text.cache_read)?,
        cache_write: rate(&text.cache_write)?,
        output: rate(&text.output)?.unwrap_or(0),
    };
    let above = match &text.above {
        None => None,
        Some(above) => Some((
            above.input_tokens,
            Rates {
                input: rate(&above.input)?.unwrap_or(rates.input),
                cache_read: rate(&above.cache_read)?.or(rates.cache_read),
                cache_write: rate(&above.cache_write)?.or(rates.cache_write),
                output: rate(&above.output)?.unwrap_or(rates.output),
            },
        )),
    };
    Ok(Price { from, rates, above })
}

fn microdollars(model: &str, text: &str) -> Result<u64, PriceTableError> {
    let refuse = || PriceTableError::Price { model: model.to_owned(), text: text.to_owned() };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return Err(refuse());
    }
    let whole = u64::from_str(whole).map_err(|_| refuse())?;
    let fraction = u64::from_str(&format!("{fraction:0<6}")).map_err(|_| refuse())?;
    whole.checked_mul(1_000_000).and_then(|micros| micros.checked_add(fraction)).ok_or_else(refuse)
}

fn date(text: &str) -> Option<Timestamp> {
    let mut parts = text.splitn(3, '-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    Timestamp::from_date(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
}

/// Returns the names under which a model may stand in the table, most exact first.
fn names(model: &str) -> impl Iterator<Item = String> {
    let exact = model.trim().to_ascii_lowercase();
    let bare = exact.rsplit('/').next().unwrap_or_default();
    // Clouds put the vendor, and sometimes a region, before the model: `us.anthropic.claude-…`.
    let vendors = ["anthropic.", "meta.", "mistral.", "cohere.", "amazon.", "ai21.", "deepseek."];
    let bare = vendors.iter().find_map(|vendor| Some(bare.split_once(vendor)?.1)).unwrap_or(bare).to_owned();
    let unversioned = without_version(&bare).to_owned();
    let undated = without_date(&unversioned).to_owned();
    let latest = undated.strip_suffix("-latest").map(str::to_owned);
    let preview = undated.strip_suffix("-preview").map(str::to_owned);
    [Some(exact), Some(bare), Some(unversioned), Some(undated), latest, preview].into_iter().flatten()
}

/// Cuts `-v1:0`, `:free` or `@…` off.
fn without_version(name: &str) -> &str {
    let name = name.split(['@', ':']).next().unwrap_or(name);
    match name.rsplit_once("-v") {
        Some((rest, version)) if !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) => {
            rest
        }
        _ => name,
    }
}

/// Cuts `-2024-08-06`, `-20241022` or `-0613` off.
fn without_date(name: &str) -> &str {
    let digits =
        |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = name.rsplitn(4, '-');
    let (last, second, third, rest) = (parts.next(), parts.next(), parts.next(), parts.next());
    if let (Some(day), Some(month), Some(year), Some(rest)) = (last, second, third, rest)
        && digits(day, 2)
        && digits(month, 2)
        && digits(year, 4)
    {
        return rest;
    }
    match name.rsplit_once('-') {
        Some((rest, date)) if digits(date, 8) || digits(date, 4) || digits(date, 3) => rest,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        date(text).unwrap()
    }

    #[test]
    fn the_built_in_table_reads_and_is_dated() {
        PriceTable::parse(include_str!("prices.toml")).unwrap();
        assert!(date(PriceTable::built_in().date()).is_some());
        assert!(!PriceTable::built_in().source().is_empty());
    }

    #[test]
    fn the_arithmetic_is_exact_and_shown() {
        let usage = Usage {
            input_tokens: Some(120),
            output_tokens: Some(30),
            cache_read_tokens: Some(64),
            ..Usage::default()
        };
        let cost = PriceTable::built_in().cost("gpt-4o-2024-08-06", &usage, at("2026-01-01")).unwrap();
        // 56 x 2.50 + 64 x 1.25 + 30 x 10, for a million each: what the instrumentation itself reported.
        assert_eq!(cost.total.to_string(), "0.00052");
        assert_eq!(
            serde_json::to_string(&cost.lines).unwrap(),
            r#"[{"kind":"input","tokens":56,"dollars_per_million":"2.5","amount":"0.00014"},{"kind":"cache_read","tokens":64,"dollars_per_million":"1.25","amount":"0.00008"},{"kind":"output","tokens":30,"dollars_per_million":"10","amount":"0.0003"}]"#
        );
        assert_eq!(cost.model, "gpt-4o");
    }

    #[test]
    fn prices_change_with_dates_and_with_long_input() {
        let table = PriceTable::parse(
            r#"
            date = "2026-01-01"
            [[model]]
            names = ["M", "alias"]
            prices = [
              { input = "10", output = "40" },
              { from = "2025-06-10", input = "2", output = "8", above = { input_tokens = 100, input = "4" } },
            ]
            "#,
        )
        .unwrap();
        let usage = |input| Usage { input_tokens: Some(input), output_tokens: Some(1), ..Usage::default() };
        let total = |day, input| table.cost("m", &usage(input), at(day)).unwrap().total.to_string();
        assert_eq!(total("2025-06-09", 100), "0.00104");
        assert_eq!(total("2025-06-10", 100), "0.000208");
        assert_eq!(total("2025-06-10", 101), "0.000412");
        assert!(table.cost("unknown", &usage(1), at("2026-01-01")).is_none());
    }

    #[test]
    fn models_are_found_under_the_names_of_gateways_and_clouds() {
        let usage = Usage { input_tokens: Some(1), ..Usage::default() };
        for (model, name) in [
            ("openai/gpt-4o-mini", "gpt-4o-mini"),
            ("us.anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-3-5-sonnet"),
            ("claude-sonnet-4-20250514", "claude-sonnet-4"),
            ("claude-sonnet-4@20250514", "claude-sonnet-4"),
            ("models/gemini-2.5-pro", "gemini-2.5-pro"),
            ("GPT-4-0613", "gpt-4"),
            ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
            ("gpt-4.1-2025-04-14", "gpt-4.1"),
        ] {
            let cost = PriceTable::built_in().cost(model, &usage, at("2026-01-01"));
            assert_eq!(cost.map(|cost| cost.model).as_deref(), Some(name), "{model}");
        }
    }

    #[test]
    fn wrong_tables_are_refused_with_a_reason() {
        let table =
            |price: &str| format!("date = \"x\"\n[[model]]\nnames = [\"m\"]\nprices = [{{ {price} }}]");
        for (price, reason) in [
            ("input = \"1.2345678\"", "price table: m: \"1.2345678\" is no price"),
            ("input = \"-1\"", "price table: m: \"-1\" is no price"),
            ("from = \"June\"", "price table: m: \"June\" is no date"),
        ] {
            assert_eq!(PriceTable::parse(&table(price)).unwrap_err().to_string(), reason);
        }
        assert!(matches!(PriceTable::parse(&table("inptu = \"1\"")), Err(PriceTableError::Syntax(_))));
        let euros = PriceTable::parse("date = \"x\"\ncurrency = \"EUR\"");
        assert_eq!(euros.unwrap_err().to_string(), "price table: currency \"EUR\" is not USD");
    }
}
