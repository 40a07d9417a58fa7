//! What people and programs say of spans (`sgp-api` section 9): kept beside them, never inside them.

use endspan_model::{AccountId, Payload, SpanId, Timestamp, TraceId};

/// Most assessments of one span.
pub const MAX_PER_SPAN: usize = 100;
/// Most bytes of an assessment's content.
pub const MAX_CONTENT_BYTES: usize = 256 * 1024;

/// What an assessment says of its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AssessmentType {
    /// A text.
    Comment,
    /// A whole number from 1 to 5.
    Rating,
    /// Yes or no.
    Approval,
    /// Texts under the names of rules.
    Rubric,
    /// Any JSON object.
    Metadata,
    /// What the output should have been. A span has at most one.
    Overwrite,
}

impl AssessmentType {
    /// Every type.
    pub const ALL: [Self; 6] =
        [Self::Comment, Self::Rating, Self::Approval, Self::Rubric, Self::Metadata, Self::Overwrite];

    /// Returns the name that the SGP API uses, which is also that of the field that holds the content.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Comment => "comment",
            Self::Rating => "rating",
            Self::Approval => "approval",
            Self::Rubric => "rubric",
            Self::Metadata => "metadata",
            Self::Overwrite => "overwrite",
        }
    }

    /// Returns the type with a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Returns the number that stores keep. Never changes its meaning.
    pub const fn code(self) -> u8 {
        match self {
            Self::Comment => 1,
            Self::Rating => 2,
            Self::Approval => 3,
            Self::Rubric => 4,
            Self::Metadata => 5,
            Self::Overwrite => 6,
        }
    }

    /// Returns the type with a number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Approval {
    /// Yes.
    Approved,
    /// No.
    Rejected,
}

impl Approval {
    /// Returns the name that the SGP API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }

    /// Returns the approval with a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Approved, Self::Rejected].into_iter().find(|approval| approval.as_str() == name)
    }

    /// Returns the number that stores keep.
    pub const fn code(self) -> u8 {
        match self {
            Self::Approved => 1,
            Self::Rejected => 2,
        }
    }

    /// Returns the approval with a number.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Approved, Self::Rejected].into_iter().find(|approval| approval.code() == code)
    }
}

/// What an assessment says. Stores keep whatever is here; [`check`](Self::check) is for those who take it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssessmentContent {
    /// Which of the fields is the content.
    pub kind: AssessmentType,
    /// Yes or no.
    pub approval: Option<Approval>,
    /// A text; may go with every type.
    pub comment: Option<String>,
    /// 1 to 5.
    pub rating: Option<u8>,
    /// An object of texts.
    pub rubric: Option<Payload>,
    /// An object.
    pub metadata: Option<Payload>,
    /// An object.
    pub overwrite: Option<Payload>,
}

impl AssessmentContent {
    /// Returns content of a type with nothing in it yet.
    pub const fn new(kind: AssessmentType) -> Self {
        Self {
            kind,
            approval: None,
            comment: None,
            rating: None,
            rubric: None,
            metadata: None,
            overwrite: None,
        }
    }

    /// Returns whether a field is there.
    pub const fn has(&self, field: AssessmentType) -> bool {
        match field {
            AssessmentType::Comment => self.comment.is_some(),
            AssessmentType::Rating => self.rating.is_some(),
            AssessmentType::Approval => self.approval.is_some(),
            AssessmentType::Rubric => self.rubric.is_some(),
            AssessmentType::Metadata => self.metadata.is_some(),
            AssessmentType::Overwrite => self.overwrite.is_some(),
        }
    }

    /// Checks that the field of the type is there and no other, a comment aside. The error names the field at fault.
    ///
    /// # Errors
    /// The first field that is missing or too much.
    pub fn check(&self) -> Result<(), Mismatch> {
        if !self.has(self.kind) {
            return Err(Mismatch { field: self.kind, kind: self.kind });
        }
        let is_too_much = |field: &AssessmentType| {
            *field != self.kind && *field != AssessmentType::Comment && self.has(*field)
        };
        match AssessmentType::ALL.into_iter().find(is_too_much) {
            Some(field) => Err(Mismatch { field, kind: self.kind }),
            None => Ok(()),
        }
    }

    /// Returns the bytes of all fields.
    pub fn size_bytes(&self) -> usize {
        let payloads = [&self.rubric, &self.metadata, &self.overwrite];
        self.comment.as_ref().map_or(0, String::len)
            + payloads.into_iter().flatten().map(Payload::len).sum::<usize>()
    }
}

/// A field does not fit the type of its assessment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The field.
    pub field: AssessmentType,
    /// The type.
    pub kind: AssessmentType,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (field, kind) = (self.field.as_str(), self.kind.as_str());
        if field == kind {
            write!(formatter, "missing, as the assessment_type is {kind}")
        } else {
            write!(formatter, "does not go with the assessment_type {kind}")
        }
    }
}

/// An assessment of one span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// Names it within its account.
    pub id: String,
    /// The owner, also of the span.
    pub account: AccountId,
    /// The span's trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// What it says.
    pub content: AssessmentContent,
    /// Who said so.
    pub created_by: String,
    /// When it was made, to the microsecond.
    pub created_at: Timestamp,
    /// When it was changed last, to the microsecond.
    pub updated_at: Timestamp,
    /// Counts its changes, from 1.
    pub revision: u64,
}

impl Assessment {
    /// Returns about how many bytes it takes.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + self.content.size_bytes()
            + self.trace_id.as_str().len()
            + self.span_id.as_str().len()
    }
}

/// A change of one assessment. It is atomic and durable when it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssessmentWrite {
    /// Stores an assessment. If its account has one with this id, that one is replaced only by a higher revision for the
    /// same span.
    Put(Assessment),
    /// Replaces the stored assessment with this id, if the new revision is the next one. Identity, span, creator and time of
    /// creation stay as they are stored.
    Replace(Assessment),
    /// Deletes an assessment.
    Delete {
        /// The owner.
        account: AccountId,
        /// The assessment.
        id: String,
    },
}

impl AssessmentWrite {
    /// Returns whose assessment is meant, and which.
    pub fn identity(&self) -> (&AccountId, &str) {
        match self {
            Self::Put(assessment) | Self::Replace(assessment) => (&assessment.account, &assessment.id),
            Self::Delete { account, id } => (account, id),
        }
    }
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssessmentOutcome {
    /// It is durable.
    Done,
    /// The account has no assessment with this id (of `Replace` and `Delete`).
    NotFound,
    /// Another revision is stored, or the id is that of an assessment of another span. Nothing has changed.
    Superseded,
    /// The account has no such span (of `Put`).
    NoSpan,
    /// The span has another overwrite.
    SecondOverwrite,
    /// The span has [`MAX_PER_SPAN`] already.
    TooMany,
}

/// Which assessments to read. They come by creation, then id, then account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssessmentQuery {
    /// Of what.
    pub of: AssessmentsOf,
    /// Only those of this type.
    pub kind: Option<AssessmentType>,
    /// Read no more than about this many bytes.
    pub max_bytes: usize,
}

/// Of what to read assessments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssessmentsOf {
    /// The one with this id.
    Id(String),
    /// The spans with this id, in any trace.
    SpanId(SpanId),
    /// All spans of a trace.
    Trace(TraceId),
    /// Exactly these spans.
    Spans(Vec<(AccountId, TraceId, SpanId)>),
}

/// Assessments that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssessmentList {
    /// The assessments.
    pub assessments: Vec<Assessment>,
    /// Whether there were more than [`AssessmentQuery::max_bytes`] of them.
    pub is_cut: bool,
}

impl AssessmentList {
    /// Orders what an engine has found, in whatever order, and cuts it.
    pub fn of(mut found: Vec<Assessment>, query: &AssessmentQuery) -> Self {
        found.sort_by(|left, right| {
            (left.created_at.cmp(&right.created_at))
                .then_with(|| left.id.cmp(&right.id))
                .then_with(|| left.account.cmp(&right.account))
        });
        let mut bytes = 0;
        let all = found.len();
        let fitting = found.iter().take_while(|assessment| {
            bytes += assessment.size_bytes();
            bytes <= query.max_bytes
        });
        let fitting = fitting.count();
        found.truncate(fitting);
        Self { assessments: found, is_cut: fitting < all }
    }
}

/// What an assessment must say for its span to be found. Empty and absent fields let every assessment pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssessmentFilter {
    /// One of these types.
    pub kinds: Vec<AssessmentType>,
    /// This approval.
    pub approval: Option<Approval>,
    /// A rating of at least this.
    pub min_rating: Option<u8>,
    /// A rating of at most this.
    pub max_rating: Option<u8>,
}

impl AssessmentFilter {
    /// Returns whether an assessment says so.
    pub fn matches(&self, content: &AssessmentContent) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&content.kind))
            && self.approval.is_none_or(|approval| content.approval == Some(approval))
            && self.min_rating.is_none_or(|min| content.rating.is_some_and(|rating| rating >= min))
            && self.max_rating.is_none_or(|max| content.rating.is_some_and(|rating| rating <= max))
    }

    /// Reads the form in which people write it: `comment`, `approval`, `approval:rejected`, `rating:3`, `rating:<3`,
    /// `rating:>=4`.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, value) = match text.split_once(':') {
            Some((kind, value)) => (kind, Some(value.trim())),
            None => (text, None),
        };
        let kind = AssessmentType::from_name(kind.trim())?;
        let mut filter = Self { kinds: vec![kind], ..Self::default() };
        let Some(value) = value else { return Some(filter) };
        match kind {
            AssessmentType::Approval => filter.approval = Some(Approval::from_name(value)?),
            AssessmentType::Rating => {
                let digits = value.trim_start_matches(['<', '>', '=']);
                let comparison = value.strip_suffix(digits)?;
                let number: u8 = digits.trim().parse().ok().filter(|number| (1..=5).contains(number))?;
                (filter.min_rating, filter.max_rating) = match comparison {
                    "" | "=" => (Some(number), Some(number)),
                    "<" => (None, Some(number - 1)),
                    "<=" => (None, Some(number)),
                    ">" => (Some(number + 1), None),
                    ">=" => (Some(number), None),
                    _ => return None,
                };
            }
            _ => return None,
        }
        Some(filter)
    }

    /// Returns the condition for SQL on the columns `type`, `approval` and `rating` of a table. Holds numbers only.
    pub fn to_sql(&self, table: &str) -> String {
        let mut sql = "TRUE".to_owned();
        if !self.kinds.is_empty() {
            let codes: Vec<String> = self.kinds.iter().map(|kind| kind.code().to_string()).collect();
            sql.push_str(&format!(" AND {table}.type IN ({})", codes.join(", ")));
        }
        if let Some(approval) = self.approval {
            sql.push_str(&format!(" AND {table}.approval = {}", approval.code()));
        }
        if let Some(min) = self.min_rating {
            sql.push_str(&format!(" AND {table}.rating >= {min}"));
        }
        if let Some(max) = self.max_rating {
            sql.push_str(&format!(" AND {table}.rating <= {max}"));
        }
        sql
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_come_back() {
        for kind in AssessmentType::ALL {
            assert_eq!(AssessmentType::from_name(kind.as_str()), Some(kind));
            assert_eq!(AssessmentType::from_code(kind.code()), Some(kind));
        }
        for approval in [Approval::Approved, Approval::Rejected] {
            assert_eq!(Approval::from_name(approval.as_str()), Some(approval));
            assert_eq!(Approval::from_code(approval.code()), Some(approval));
        }
        assert_eq!(AssessmentType::from_code(0), None);
    }

    #[test]
    fn filters_are_read_as_people_write_them() {
        let rating = |text: &str| {
            let filter = AssessmentFilter::parse(text).unwrap();
            (1..=5)
                .filter(|rating| {
                    let rating = Some(*rating);
                    filter.matches(&AssessmentContent {
                        rating,
                        ..AssessmentContent::new(AssessmentType::Rating)
                    })
                })
                .collect::<Vec<u8>>()
        };
        assert_eq!(rating("rating"), [1, 2, 3, 4, 5]);
        assert_eq!(rating("rating:3"), [3]);
        assert_eq!(rating("rating:=3"), [3]);
        assert_eq!(rating("rating:<3"), [1, 2]);
        assert_eq!(rating("rating:<=3"), [1, 2, 3]);
        assert_eq!(rating("rating:>5"), [] as [u8; 0]);
        assert_eq!(rating("rating:>=4"), [4, 5]);
        assert_eq!(AssessmentFilter::parse("approval:rejected").unwrap().approval, Some(Approval::Rejected));
        for bad in [
            "",
            "x",
            "rating:",
            "rating:0",
            "rating:6",
            "rating:<>3",
            "rating:3<",
            "approval:maybe",
            "comment:x",
        ] {
            assert_eq!(AssessmentFilter::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_field_of_the_type_and_no_other_but_a_comment() {
        let rating = AssessmentContent { rating: Some(3), ..AssessmentContent::new(AssessmentType::Rating) };
        assert_eq!(rating.check(), Ok(()));
        let commented = AssessmentContent { comment: Some("why".to_owned()), ..rating.clone() };
        assert_eq!(commented.check(), Ok(()));
        let both = AssessmentContent { approval: Some(Approval::Approved), ..rating };
        assert_eq!(both.check().unwrap_err().field, AssessmentType::Approval);
        let none = AssessmentContent::new(AssessmentType::Rubric);
        assert_eq!(none.check().unwrap_err().to_string(), "missing, as the assessment_type is rubric");
    }
}
