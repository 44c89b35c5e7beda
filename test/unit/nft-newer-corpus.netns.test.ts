// nftables' own rules once more, with an nft that is newer than this machine's.
import { again } from "./nft-netns";

again("corpus");
