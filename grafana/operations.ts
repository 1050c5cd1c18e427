import { type Dashboard, RowBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { both, dashboard, registry, series, stat, table, thresholds, timeseries } from './panels.ts';

/** What registries tell of their own running: limits, credentials, copies, jobs, and who uses the images. */
export function operations(): Dashboard {
  return dashboard(
    'Container registries / Operations',
    'container-registry-operations',
    'Limits about to be reached, credentials about to expire, copies and jobs that stopped, and what is used.',
  )
    .withRow(new RowBuilder('Limits'))
    .withPanel(
      timeseries(
        {
          title: 'Quotas used',
          description: 'Share of each quota; of images per repository the fullest one.',
          unit: 'percentunit',
        },
        series(
          `container_registry_quota_used{${registry}} / (container_registry_quota_limit{${registry}} > 0)`,
          '{{registry}} {{project}} {{quota}}',
        ),
      ),
    )
    .withPanel(
      timeseries(
        {
          title: 'Pulls left',
          description: "Of the registry's pull limit, by whom it counts the pulls for.",
          unit: 'percentunit',
        },
        series(
          `container_registry_pull_remaining{${registry}} / (container_registry_pull_limit{${registry}} > 0)`,
          '{{registry}} {{source}}',
        ),
      ),
    )
    .withPanel(
      table(
        { title: 'Credentials by expiry', description: 'Time left; the next to expire first.', unit: 's' },
        `sort(container_registry_credential_expiry_timestamp_seconds{${registry}} - time())`,
      ),
    )
    .withPanel(
      table(
        {
          title: 'Windows of the pull limits',
          description: 'Over how long the registry counts pulls.',
          unit: 's',
        },
        `container_registry_pull_limit_window_seconds{${registry}}`,
      ),
    )
    .withRow(new RowBuilder('Copies'))
    .withPanel(
      table(
        { title: 'Replication', description: '1: the last one worked.', span: 8 },
        `container_registry_replication_up{${registry}}`,
      ),
    )
    .withPanel(
      timeseries(
        {
          title: 'Images that are not replicated',
          description: 'Waiting or failed, by destination.',
          unit: 'short',
          span: 8,
        },
        series(
          `container_registry_replication_pending_images{${registry}}`,
          '{{registry}} {{destination}} waiting',
        ),
        series(
          `container_registry_replication_failed_images{${registry}}`,
          '{{registry}} {{destination}} failed',
        ),
      ),
    )
    .withPanel(
      table(
        {
          title: 'Since the last replication that worked',
          description: 'By destination.',
          unit: 's',
          span: 8,
        },
        `time() - container_registry_replication_last_success_timestamp_seconds{${registry}}`,
      ),
    )
    .withPanel(
      table(
        { title: 'Images copied by the last run', description: 'By destination.', unit: 'short' },
        `container_registry_replication_succeeded_images{${registry}}`,
      ),
    )
    .withPanel(
      table(
        {
          title: 'Images that the last run did not copy',
          description: 'Because somebody stopped it.',
          unit: 'short',
        },
        `container_registry_replication_stopped_images{${registry}} > 0`,
      ),
    )
    .withRow(new RowBuilder('Parts and jobs'))
    .withPanel(
      table(
        { title: 'Parts of the registry', description: '1: it says that it is healthy.', span: 8 },
        `container_registry_component_up{${registry}}`,
      ),
    )
    .withPanel(
      table(
        {
          title: 'Jobs of the registry',
          description: '1: the last run, of garbage collection for example, worked.',
          span: 8,
        },
        `container_registry_task_up{${registry}}`,
      ),
    )
    .withPanel(
      table(
        { title: 'Since the last run that worked', description: 'By job.', unit: 's', span: 8 },
        `time() - container_registry_task_last_success_timestamp_seconds{${registry}}`,
      ),
    )
    .withPanel(
      timeseries(
        { title: 'Jobs that wait', description: "In the registry's own queues.", unit: 'short', span: 8 },
        series(`container_registry_job_queue_jobs{${registry}}`, '{{registry}} {{queue}}'),
      ),
    )
    .withPanel(
      timeseries(
        { title: 'Wait of the oldest job', description: 'By queue.', unit: 's', span: 8 },
        series(`container_registry_job_queue_latency_seconds{${registry}}`, '{{registry}} {{queue}}'),
      ),
    )
    .withPanel(
      timeseries(
        {
          title: 'Policy violations',
          description: 'Open ones, by watch and severity.',
          unit: 'short',
          span: 8,
        },
        series(
          `sum by (registry, watch, severity) (container_registry_policy_violations{${registry}})`,
          '{{registry}} {{watch}} {{severity}}',
        ),
      ),
    )
    .withPanel(
      table(
        {
          title: 'What the last runs worked on',
          description: 'By job and by what became of it.',
          unit: 'short',
          span: 8,
        },
        `sum by (registry, task, result) (container_registry_task_items{${registry}})`,
      ),
    )
    .withPanel(
      timeseries(
        {
          title: 'Jobs being worked on',
          description: "In the registry's own queues.",
          unit: 'short',
          span: 8,
        },
        series(`container_registry_job_queue_running_jobs{${registry}}`, '{{registry}} {{queue}}'),
      ),
    )
    .withPanel(
      table(
        { title: 'Paused queues', description: 'Their jobs wait until somebody resumes them.', span: 8 },
        `container_registry_job_queue_paused{${registry}} > 0`,
      ),
    )
    .withPanel(
      table(
        { title: 'Versions', description: 'Of the software, where the registry tells.' },
        `container_registry_version_info{${registry}}`,
      ),
    )
    .withPanel(
      table(
        { title: 'Settings', description: 'Of the registry as a whole; 1: on.' },
        `container_registry_setting{${registry}}`,
      ),
    )
    .withRow(new RowBuilder('Use'))
    .withPanel(
      timeseries(
        { title: 'Pulls', description: 'Per minute, where the registry counts them.', unit: 'cpm' },
        series(
          `topk(20, 60 * sum by (registry, repository) (rate(container_registry_repository_pulls_total{${both}}[$__rate_interval])))`,
          '{{registry}} {{repository}}',
        ),
      ),
    )
    .withPanel(
      table(
        {
          title: 'Repositories that nobody pulls from',
          description: 'Time since the last pull, longest first.',
          unit: 's',
        },
        `sort_desc(topk(50, time() - container_registry_repository_last_pull_timestamp_seconds{${both}}))`,
      ),
    )
    .withPanel(
      table(
        {
          title: 'Running images',
          description:
            "Tasks and pods that run an image of the bounded set, as the registry's scanner knows.",
        },
        `topk(50, container_registry_image_in_use{${both}} > 0)`,
      ),
    )
    .withPanel(
      table(
        {
          title: 'Archived storage',
          description: 'Bytes of images in archive storage, which the other sizes do not include.',
          unit: 'bytes',
        },
        `topk(50, container_registry_repository_archived_size_bytes{${both}})`,
      ),
    )
    .withPanel(
      stat(
        { title: 'Projects', description: 'By visibility.', unit: 'short' },
        thresholds([null, 'text']),
        series(`sum by (visibility) (container_registry_projects{${registry}})`, '{{visibility}}'),
      ),
    )
    .withPanel(
      stat(
        { title: 'Stars', description: 'Of all selected repositories.', unit: 'short' },
        thresholds([null, 'text']),
        series(`sum(container_registry_repository_stars{${both}})`, 'stars'),
      ),
    )
    .withPanel(
      table(
        { title: 'Repositories by project', description: 'As the registry counts them.', span: 6 },
        `topk(50, container_registry_project_repositories{${registry}})`,
      ),
    )
    .withPanel(
      table(
        { title: 'Public projects', description: 'Anybody may pull from them.', span: 6 },
        `container_registry_project_info{${registry},visibility="public"}`,
      ),
    )
    .withPanel(
      table(
        { title: 'Members by project', description: 'Users and groups.', span: 6 },
        `topk(50, container_registry_project_members{${registry}})`,
      ),
    )
    .build();
}
