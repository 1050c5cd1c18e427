import { CollectError } from '../../errors.ts';
import type { Attempts, Thing, Unread } from '../../failing.ts';
import type { CollectContext } from '../../provider.ts';
import type { Answer, Referrers, Target } from './referrers.ts';

/** So many failures and not a single answer: nothing more is asked in this poll. */
const enoughFailures = 10;

/** Asks the referrers API about many targets of one repository, of which each may fail. */
export interface Asking {
  /** Undefined where it could not be told. */
  ask(target: Target): Promise<Answer | undefined>;
  /** Whether all that was asked was refused, in a repository that is not known to offer the API. */
  refusesAll(): boolean;
  /**
   * Says what failed: anew, or for most of the targets, is a failing capability; one that fails for good is told.
   * @returns the digests about which it could not be told
   */
  end(): readonly string[];
}

export function createAsking(scope: {
  readonly context: CollectContext;
  readonly referrers: Referrers;
  readonly repository: string;
  readonly attempts: Attempts;
}): Asking {
  const { context, referrers, repository, attempts } = scope;
  const failures: { readonly thing: Thing; readonly unread: Unread }[] = [];
  const left: string[] = [];
  let answered = 0;
  let refused = 0;

  const read = async (target: Target): Promise<Answer> => {
    const given = await referrers.ask(repository, target);
    if (given !== 'refused') return given;
    refused += 1;
    // A gateway's refusal is no word of the registry's: else all images would lose their signatures for a day.
    throw new CollectError(
      'invalid_response',
      `the referrers API does not answer for ${target.digest} of ${repository}, and does for others`,
    );
  };

  return {
    async ask(target) {
      if (answered === 0 && failures.length >= enoughFailures) {
        left.push(target.digest);
        return undefined;
      }
      const effect = 'whether it is signed is unknown, and what counts signatures and reports';
      const thing = { kind: 'referrers', name: target.digest, effect, quiet: true };
      const answer = await attempts.attempt(thing, () => read(target));
      if ('value' in answer) {
        answered += 1;
        return answer.value;
      }
      failures.push({ thing, unread: answer });
      return undefined;
    },
    refusesAll: () =>
      refused > 0 && refused === failures.length && answered === 0 && !referrers.offered(repository),
    end() {
      const [first] = failures;
      if (!first) return left;
      const news = failures.find(({ unread }) => unread.fresh) ?? first;
      if (failures.length > answered || news.unread.fresh) context.degraded('signatures', news.unread.error);
      else for (const { thing, unread } of failures) attempts.tell(thing, unread.error);
      return [...left, ...failures.map(({ thing }) => thing.name)];
    },
  };
}
