/**
 * The clouds that have container registries, with what differs between them.
 * https://learn.microsoft.com/en-us/azure/azure-government/compare-azure-government-global-azure
 * https://learn.microsoft.com/en-us/azure/china/resources-developer-guide
 */
export const clouds = {
  public: {
    authority: 'https://login.microsoftonline.com',
    management: 'https://management.azure.com',
    // `KnownMonitorLogsQueryAudience` of @azure/monitor-query-logs, which are its addresses too.
    logs: 'https://api.loganalytics.io',
    // What a token for a registry is asked for; the sovereign clouds take the one of their management API, see
    // `KnownContainerRegistryAudience` of @azure/container-registry.
    audience: 'https://containerregistry.azure.net',
    suffix: '.azurecr.io',
  },
  'us-government': {
    authority: 'https://login.microsoftonline.us',
    management: 'https://management.usgovcloudapi.net',
    logs: 'https://api.loganalytics.us',
    audience: 'https://management.usgovcloudapi.net',
    suffix: '.azurecr.us',
  },
  china: {
    authority: 'https://login.chinacloudapi.cn',
    management: 'https://management.chinacloudapi.cn',
    logs: 'https://api.loganalytics.azure.cn',
    audience: 'https://management.chinacloudapi.cn',
    suffix: '.azurecr.cn',
  },
} as const;

export type CloudName = keyof typeof clouds;
export type Cloud = (typeof clouds)[CloudName];

/** The cloud that is configured, or else the one that the login server's name belongs to. */
export function cloudOf(name: CloudName | undefined, loginServer: string | undefined): Cloud {
  if (name) return clouds[name];
  const cloud = Object.values(clouds).find(({ suffix }) => loginServer?.toLowerCase().endsWith(suffix));
  return cloud ?? clouds.public;
}
