//! Assessments of spans in memory.

use endspan_model::AccountId;

use super::State;
use crate::{
    Assessment, AssessmentList, AssessmentOutcome, AssessmentQuery, AssessmentWrite,
    assessment::{AssessmentFilter, AssessmentType, AssessmentsOf, MAX_PER_SPAN},
};

impl State {
    pub(super) fn assess(&mut self, write: AssessmentWrite) -> AssessmentOutcome {
        let (account, id) = write.identity();
        let key = (account.clone(), id.to_owned());
        let stored = self.assessments.get(&key);
        let assessment = match (write, stored) {
            (AssessmentWrite::Delete { .. }, _) => {
                return match self.assessments.remove(&key) {
                    Some(_) => AssessmentOutcome::Done,
                    None => AssessmentOutcome::NotFound,
                };
            }
            (AssessmentWrite::Replace(_), None) => return AssessmentOutcome::NotFound,
            (AssessmentWrite::Replace(new), Some(stored)) => {
                if new.revision != stored.revision + 1 {
                    return AssessmentOutcome::Superseded;
                }
                let Assessment { content, updated_at, revision, .. } = new;
                Assessment { content, updated_at, revision, ..stored.clone() }
            }
            (AssessmentWrite::Put(new), stored) => {
                let identity = (new.account.clone(), new.trace_id.clone(), new.span_id.clone());
                if !self.spans.contains_key(&identity) {
                    return AssessmentOutcome::NoSpan;
                }
                let is_next = |stored: &Assessment| {
                    stored.revision < new.revision
                        && stored.trace_id == new.trace_id
                        && stored.span_id == new.span_id
                };
                if !stored.is_none_or(is_next) {
                    return AssessmentOutcome::Superseded;
                }
                new
            }
        };
        let others = self.assessments.values().filter(|other| {
            other.account == assessment.account
                && other.trace_id == assessment.trace_id
                && other.span_id == assessment.span_id
                && other.id != assessment.id
        });
        let kinds: Vec<AssessmentType> = others.map(|other| other.content.kind).collect();
        if assessment.content.kind == AssessmentType::Overwrite && kinds.contains(&AssessmentType::Overwrite)
        {
            return AssessmentOutcome::SecondOverwrite;
        }
        if kinds.len() >= MAX_PER_SPAN {
            return AssessmentOutcome::TooMany;
        }
        self.assessments.insert(key, assessment);
        AssessmentOutcome::Done
    }

    pub(super) fn assessments(&self, account: Option<&AccountId>, query: &AssessmentQuery) -> AssessmentList {
        let is_meant = |assessment: &Assessment| match &query.of {
            AssessmentsOf::Id(id) => assessment.id == *id,
            AssessmentsOf::SpanId(id) => assessment.span_id == *id,
            AssessmentsOf::Trace(trace_id) => assessment.trace_id == *trace_id,
            AssessmentsOf::Spans(spans) => spans.iter().any(|(account, trace_id, id)| {
                *account == assessment.account
                    && *trace_id == assessment.trace_id
                    && *id == assessment.span_id
            }),
        };
        let found = self.assessments.values().filter(|assessment| {
            account.is_none_or(|account| assessment.account == *account)
                && query.kind.is_none_or(|kind| assessment.content.kind == kind)
                && is_meant(assessment)
        });
        AssessmentList::of(found.cloned().collect(), query)
    }

    /// Returns whether, for each filter, some of the assessments of one account that are meant say so.
    pub(super) fn is_assessed(
        &self,
        account: &AccountId,
        filters: &[AssessmentFilter],
        is_meant: impl Fn(&Assessment) -> bool,
    ) -> bool {
        filters.iter().all(|filter| {
            let mut assessments =
                self.assessments.values().filter(|assessment| assessment.account == *account);
            assessments.any(|assessment| is_meant(assessment) && filter.matches(&assessment.content))
        })
    }
}
