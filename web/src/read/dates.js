// Dates written as text to moments, as metier/runtime/dates.py does.

const MONTHS = [
  "january", "february", "march", "april", "may", "june",
  "july", "august", "september", "october", "november", "december",
];
const CENTURY = 70;
const PARTS = {
  "%Y": "(?<year>[0-9]{4})",
  "%y": "(?<short>[0-9]{2})",
  "%m": "(?<month>[0-9]{1,2})",
  "%b": "(?<name>[A-Za-z]{3})",
  "%B": "(?<name>[A-Za-z]{3,9})",
  "%d": "(?<day>[0-9]{1,2})",
  "%H": "(?<hour>[0-9]{1,2})",
  "%I": "(?<half>[0-9]{1,2})",
  "%p": "(?<noon>[AP])M",
  "%M": "(?<minute>[0-9]{1,2})",
  "%S": "(?<second>[0-5]?[0-9])",
  "%.f": "(?:\\.(?<fraction>[0-9]+))?",
  "%#z": "\\s*(?<zone>Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)",
};
const ISO =
  /^(?<year>\d{4})(?<dash>-?)(?<month>\d{2})\k<dash>(?<day>\d{2})(?:[T ](?<hour>\d{2})(?::?(?<minute>\d{2})(?::?(?<second>\d{2})(?:[.,](?<fraction>\d+))?)?)?(?<zone>Z|[+-]\d{2}(?::?\d{2})?)?)?$/;

/** What a format of a column reads; null where there is none. */
export function pattern(format) {
  if (!format) return null;
  const parts = format.match(/%\.f|%#z|%.|\s+|./gs).map((part) => {
    if (part in PARTS) return PARTS[part];
    return part.trim() ? part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&") : "\\s*";
  });
  return new RegExp(`^${parts.join("")}$`, "i");
}

/** The moment that a text means, in milliseconds since 1970: by a pattern, else in ISO 8601; NaN for none. */
export function readMoment(text, known) {
  const bare = text.trim();
  const found = known?.exec(bare) ?? ISO.exec(bare);
  return found ? moment(found.groups) : NaN;
}

function moment({ year, short, month, name, day, hour, half, noon, minute, second, fraction, zone }) {
  const wanted = [
    short === undefined ? Number(year ?? 0) : Number(short) + (Number(short) >= CENTURY ? 1900 : 2000),
    name === undefined ? Number(month ?? 1) : monthOf(name.toLowerCase()),
    Number(day ?? 1),
    noon === undefined ? Number(hour ?? 0) : hourOf(Number(half), noon),
    Number(minute ?? 0),
    Number(second ?? 0),
  ];
  const told = new Date(0);
  told.setUTCFullYear(wanted[0], wanted[1] - 1, wanted[2]);
  told.setUTCHours(...wanted.slice(3));
  const is = [
    told.getUTCFullYear(),
    told.getUTCMonth() + 1,
    told.getUTCDate(),
    told.getUTCHours(),
    told.getUTCMinutes(),
    told.getUTCSeconds(),
  ];
  if (wanted[0] < 1 || is.some((part, i) => part !== wanted[i])) return NaN;
  return told.getTime() + (fraction ? Number(`0.${fraction.slice(0, 6)}`) * 1000 : 0) - ahead(zone);
}

/** The month of a name, whole or its first three letters; 0 for none. */
function monthOf(name) {
  return MONTHS.findIndex((month) => name === month || name === month.slice(0, 3)) + 1;
}

function hourOf(half, noon) {
  if (half < 1 || half > 12) return NaN;
  return (half % 12) + (noon.toUpperCase() === "P" ? 12 : 0);
}

/** How many milliseconds a zone (Z, UTC, +02, +0200, -02:30) is ahead of UTC. */
function ahead(zone) {
  if (zone === undefined || !"+-".includes(zone[0])) return 0;
  const minutes = 60 * Number(zone.slice(1, 3)) + Number(zone.slice(3).replace(":", ""));
  return (zone[0] === "-" ? -1 : 1) * minutes * 60_000;
}
