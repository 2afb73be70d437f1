/** Cases that are made up, each list and text as long as it may be: left alone fast-check makes none of more than ten, whatever its `maxLength`. */
import fc from 'fast-check';

fc.configureGlobal({ defaultSizeToMaxWhenMaxSpecified: true });

export { fc };
