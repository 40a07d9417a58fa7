export default function Compare(_props: object) {
  return <div class="compare-page" />;
}
