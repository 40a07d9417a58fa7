import { accounts } from "../api/identity";
import { account, chooseAccount } from "../api/session";

/** Which account is read, where there are several. */
export function AccountChoice() {
  const chosen = account.value;
  const known = accounts.value;
  const list = chosen === null || known.includes(chosen) ? known : [chosen, ...known];
  if (list.length < 2) return null;
  return (
    <select
      class="select account-choice"
      aria-label="Account"
      value={chosen ?? ""}
      onChange={(event) => chooseAccount(event.currentTarget.value || null)}
    >
      <option value="">All accounts</option>
      {list.map((name) => (
        <option key={name} value={name}>
          {name}
        </option>
      ))}
    </select>
  );
}
