export function compileForBrowsers(): boolean;
