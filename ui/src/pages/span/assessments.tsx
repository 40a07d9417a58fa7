import type { AssessmentAnswer } from "../../api/wire";
import { Icon } from "../../components/icon";
import { Moment } from "../../components/moment";
import { parseMoment } from "../../model/time";

/** What people and programs said of the span, the newest first. */
export function Assessments(props: { assessments: AssessmentAnswer[] }) {
  if (props.assessments.length === 0) return null;
  const newest = [...props.assessments].sort(
    (left, right) => parseMoment(right.updated_at) - parseMoment(left.updated_at),
  );
  return (
    <ul class="assessments" aria-label="Assessments">
      {newest.map((assessment) => (
        <li key={assessment.assessment_id}>
          <Verdict assessment={assessment} />
          <span class="grow said">
            {assessment.comment}
            <Named value={assessment.rubric} />
            <Named value={assessment.metadata} />
            <Named value={assessment.overwrite} />
          </span>
          <span class="muted nowrap" title={`By ${assessment.created_by}`}>
            <Moment at={parseMoment(assessment.updated_at)} relative />
          </span>
        </li>
      ))}
    </ul>
  );
}

function Verdict(props: { assessment: AssessmentAnswer }) {
  const { assessment } = props;
  if (assessment.approval !== null) {
    const good = assessment.approval === "approved";
    return (
      <span class={`badge ${good ? "ok" : "error"}`}>
        <Icon name={good ? "ok" : "canceled"} />
        {assessment.approval}
      </span>
    );
  }
  if (assessment.rating !== null) {
    const mood = assessment.rating >= 4 ? "ok" : assessment.rating <= 2 ? "error" : "warn";
    return <span class={`badge ${mood}`}>{assessment.rating} of 5</span>;
  }
  return <span class="badge">{assessment.assessment_type}</span>;
}

/** Values under names, as a line each. */
function Named(props: { value: Record<string, unknown> | null }) {
  if (props.value === null) return null;
  return (
    <>
      {Object.entries(props.value).map(([name, value]) => (
        <span key={name} class="named">
          <b>{name}</b> {typeof value === "string" ? value : JSON.stringify(value)}
        </span>
      ))}
    </>
  );
}
