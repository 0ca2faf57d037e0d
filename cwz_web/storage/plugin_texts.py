"""The texts of the storage plugins in this repository that pages show, so that their messages are extracted.

A plugin is written in English and has no catalog: pages translate the texts that they know.
"""

from cwz_web.i18n import gettext_noop

PLUGIN_TEXTS = frozenset(
    (
        gettext_noop("Access key ID"),
        gettext_noop("Account ID"),
        gettext_noop("Allow the access key to read, write, list and delete in this bucket"),
        gettext_noop("Bucket"),
        gettext_noop("Default"),
        gettext_noop("Dual-stack"),
        gettext_noop("Dual-stack and FIPS"),
        gettext_noop("Endpoint"),
        gettext_noop("Enter a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens"),
        gettext_noop("Enter a bucket name: at least 3 lower-case letters, digits, dots, hyphens and underscores"),
        gettext_noop("Enter an AWS Region, for example eu-central-1"),
        gettext_noop("Enter an account ID: 32 digits and letters from a to f"),
        gettext_noop("Enter the name of a bucket: no IP address, and no name that begins with goog or holds xn--"),
        gettext_noop("European Union"),
        gettext_noop("FIPS"),
        gettext_noop("FedRAMP"),
        gettext_noop("From an IAM user with access to this bucket only"),
        gettext_noop("Google rejects this key; create a new one and enter it"),
        gettext_noop(
            "Grant allUsers the role Storage Object Viewer on this bucket, and turn off public access prevention."
            " With uniform access, ACLs of objects have no effect"
        ),
        gettext_noop("Grant the service account the role Storage Object Admin on this bucket"),
        gettext_noop("Jurisdiction"),
        gettext_noop('Keep "standard" unless you need dual-stack or FIPS endpoints'),
        gettext_noop("Let a web server or a CDN serve the folder, with the headers of docs/operations.md"),
        gettext_noop("Local folder"),
        gettext_noop("Paste the JSON key file of a service account"),
        gettext_noop("Region"),
        gettext_noop("Secret access key"),
        gettext_noop("Service account key"),
        gettext_noop("Shown on the R2 page of the Cloudflare dashboard"),
        gettext_noop("Shown on the Storage page of the Firebase console; enter it without gs://"),
        gettext_noop("Shown once, when you create the access key"),
        gettext_noop("Some objects could not be deleted; try again later"),
        gettext_noop("Standard"),
        gettext_noop("The AWS Region of the bucket, shown in the S3 console"),
        gettext_noop("The JSON key file. The account needs the role Storage Object Admin on this bucket"),
        gettext_noop("The bucket does not exist; check its name"),
        gettext_noop("The bucket is in another region; change the region"),
        gettext_noop("The bucket name, without a URL"),
        gettext_noop("The bucket name, without gs://"),
        gettext_noop("The folder of the local storage does not exist; the operator has to restore it"),
        gettext_noop("The jurisdiction that was chosen when the bucket was created"),
        gettext_noop("The object changed while it was read; try again"),
        gettext_noop("The object does not exist"),
        gettext_noop("The object exists already"),
        gettext_noop("The operator has to set cwz.storage.local.root in the .ini file"),
        gettext_noop("The private key in the key file is not valid; download a new key"),
        gettext_noop("The secret does not match the access key; enter both again"),
        gettext_noop("The server at the storage's URL does not speak S3"),
        gettext_noop("The storage does not respond; try again later"),
        gettext_noop("The storage limits the request rate; try again later"),
        gettext_noop("The storage rejects this access key; create a new one and enter it"),
        gettext_noop("This server's clock is wrong; the operator has to correct it"),
        gettext_noop(
            "Turn off Block Public Access for this bucket and add a bucket policy that allows s3:GetObject to "
            "everyone, or let CloudFront read the bucket"
        ),
        gettext_noop(
            "Turn on public access in the settings of the bucket: connect a custom domain, or allow its r2.dev "
            "subdomain"
        ),
    )
)
