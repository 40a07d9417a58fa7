export default function Health(_props: object) {
  return <div class="health" />;
}
