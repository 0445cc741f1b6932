//! What to do about an error, in terms of the library. The caller turns it into words of its own.

use std::borrow::Cow;

/// What was read: where that is at fault, it says what to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Material {
    /// An ISO or a disk image.
    Image,
    /// A patch file.
    Patch,
    /// The descriptor of a patch.
    Descriptor,
    /// An OCI image layout.
    Layout,
    /// A folder or archive with kernel and initrd.
    Tree,
}

/// What a key stands in that is not known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyOf {
    /// A recipe.
    Recipe,
    /// A user, in TOML or JSON lines.
    User,
    /// A user, in CSV.
    Column,
}

/// What to do instead. The program turns it into words with its own flags (`src/cli/diagnostics.rs`); another program
/// has other ways, and so other words. It is exhaustive, so that no program can forget one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Advice {
    /// A sentence that fits every caller: an imperative without a full stop.
    Words(Cow<'static, str>),
    /// This, or write the image without looking at it ([`crate::flash::Options`]).
    OrWriteUnseen(Box<Advice>),

    /// Name a folder for the cache of bases.
    NameCache,
    /// Fetch the base of this name first, or allow to fetch it.
    AllowFetching(String),
    /// Try again later, or ask another server.
    OtherServer,
    /// Try again later, ask another server, or wait longer.
    SlowServer,
    /// Look whether the file is still offered, or ask another server.
    GoneFromServer,
    /// Look at the clock, or name the authority that the server's certificate is signed by.
    NameAuthority,

    /// Fetch a base again whose file in the cache is damaged, or remove it.
    FetchAgain,
    /// Take a name of the catalog of bases.
    NameInCatalog,
    /// Fetch the file of a URL, or write it to a disk as it comes.
    FetchImage,

    /// Give the path of a disk of this name, or look which disks there are.
    PathOfDevice(Cow<'static, str>),
    /// Give the path of a file; some ways of use take a folder, too.
    FileNotFolder,
    /// Plug the stick in, and look which disks there are.
    PlugIn,
    /// The same of one that was there.
    PlugInAgain,
    /// Plug the disk in; or give a file that is not below /dev.
    PlugInOrFileElsewhere,
    /// Give a file that is not below /dev, or a disk.
    FileElsewhere,
    /// Look which disk is meant.
    WhichDisk,
    /// Look which disks there are now, and start again.
    LookAgain,
    /// Write the image to the disk again.
    FlashAgain,
    /// Write the image to the disk, all of it.
    FlashAnew,
    /// Write the base to the disk: that does not need what the disk holds.
    FlashBase,
    /// Write to a disk: not to a file.
    WriteToDisk,
    /// Take a larger disk, or leave the backup GPT where the image has it.
    LargerOrExact,
    /// Unmount the disk, or allow to do so.
    AllowUnmounting,
    /// Allow fixed disks, and tell which one is meant.
    AllowFixed,
    /// Take a disk with blocks of so many bytes, or write the image without looking at it.
    BlocksOf(u64),
    /// Save the image to a file, unpacked, or allow to write all of it.
    WholeOrUnpacked,
    /// Give the disk back, or leave the probe out.
    SkipProbe,

    /// Get again what was read: it is damaged.
    GetAgain(Material),
    /// Give another one of what was read: this one is not understood.
    OtherOne(Material),
    /// Use the version that made it, or a newer one.
    NewerProgram,
    /// Unpack the file with this program first.
    Unpack(&'static str),
    /// Give the image of an initrd, or the folder that it is in.
    ImageOfInitrd,
    /// The file is a tar archive: unpack it, or give it to a command that takes archives.
    ImageOfArchive,

    /// Finish the reset that was interrupted, or write another image.
    FinishReset,
    /// Finish the edit that was interrupted.
    FinishEdit,
    /// Give the base of the patch, and the patch with it.
    BaseOfPatch,
    /// Give the image first, and the key as one.
    KeyAsKey,
    /// Give the image of the list of checksums, and the list as one.
    ImageOfList,

    /// Write the output to another path.
    OtherOutput,
    /// Write the output to another path, or allow to replace an earlier output.
    OtherOutputOrReplace,
    /// Write to another path, remove what is there, or allow to replace it.
    OtherPathOrReplace,
    /// Write the output to a regular file, to a pipe, or to a disk.
    FileOrPipe,
    /// Write to standard output, where the output can go to a pipe, or to a file.
    StandardOutput,
    /// Give the output a shorter name.
    ShorterName,

    /// Let the batch replace what is not its own, or write it to another folder.
    SkipExistingOrOtherFolder,
    /// Write the batch to another folder, or let it keep or replace what is there.
    OtherFolder,
    /// Give the user another name, or name the files by another template.
    OtherUserName,
    /// Give one of the users another name, or name the files by what tells users apart.
    TellUsersApart,
    /// Name a user whose image is in the layout: one of these.
    NameUser(Vec<String>),
    /// Make one image of the recipe for all machines, or give each machine a user.
    OneImageOrUsers,
    /// Put the key into a recipe file of one image.
    RecipeOfOneImage,
    /// Look up the form of recipe files.
    RecipeForm,
    /// Take the key that is meant by one that no recipe has, or look up the keys of recipe files.
    UnknownKey {
        /// The key that is there.
        key: Box<str>,
        /// The key that differs least from it, if it differs little.
        close: Option<Box<str>>,
        /// What it is a key of.
        of: KeyOf,
    },
    /// Make an image for each of the users.
    IsUsers,
    /// Give it as the recipe of all users, or put its keys into the table of a user.
    IsRecipe,
    /// Look up the form of users files.
    UsersForm,

    /// Give a key, or anything else that makes an image.
    GiveKey,
    /// Give the key again, or allow an image without one.
    KeyAgain,
    /// Take out no key: there is none.
    NoKeyThere,
    /// Take out what was put in before, and give everything that the image is to have.
    ReplaceAll,
    /// Leave out one of two things, or take out what was put in before.
    OneOrReplaceAll,
    /// Give it again beside what is given, or take out what was put in before.
    AgainOrReplaceAll,
    /// Choose the entries of before, or take out what was put in before.
    SameEntriesOrReplaceAll,
    /// Merge the initrds instead of naming a second one in the menus: that leaves the UEFI boot image alone.
    MergeInitrd,
    /// Report the image; until then inject credentials, which stage 1 need not be understood for.
    ReportOrCredential,
    /// Give an installer whose stage 1 has a shell, or inject credentials.
    ShellOrCredential,
    /// Compare with the image, or stamp it with digests in the manifest.
    CompareOrDigests,
}

impl Advice {
    /// [`Self::Words`] of a constant.
    pub(crate) const fn says(words: &'static str) -> Self {
        Self::Words(Cow::Borrowed(words))
    }

    /// The sentence, if it fits every caller.
    pub fn words(&self) -> Option<&str> {
        match self {
            Self::Words(words) => Some(words),
            _ => None,
        }
    }
}

impl From<&'static str> for Advice {
    fn from(words: &'static str) -> Self {
        Self::Words(words.into())
    }
}

impl From<String> for Advice {
    fn from(words: String) -> Self {
        Self::Words(words.into())
    }
}
