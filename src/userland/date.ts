/**
 * Dates without the host's clock or locale: asctime(3)'s arithmetic, for seconds since 1970, in UTC.
 */
const days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const month_days = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function is_leap(year: number): boolean {
	return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
}

/** "Thu, 11 Nov 2021 00:00:00 UTC" */
export function date_string(timesecs: number): string {
	const two = (n: number): string => `${n}`.padStart(2, "0");
	let day = Math.floor(timesecs / 86400);
	const second = timesecs - day * 86400;
	const weekday = days[day % 7];
	let year = 1970;
	for (; day >= (is_leap(year) ? 366 : 365); year++) day -= is_leap(year) ? 366 : 365;
	let month = 0;
	for (; ; month++) {
		const length = month_days[month] + (month === 1 && is_leap(year) ? 1 : 0);
		if (day < length) break;
		day -= length;
	}
	const clock = `${two(Math.floor(second / 3600))}:${two(Math.floor(second / 60) % 60)}:${two(second % 60)}`;
	return `${weekday}, ${two(day + 1)} ${months[month]} ${year} ${clock} UTC`;
}
